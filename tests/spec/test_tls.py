"""`tls:` of a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.base.errors import SpecError
from tidegate.spec.load import load

MANIFEST = """
apiVersion: tidegate.dev/v1
kind: MediaService
metadata: {{name: ocr}}
spec:
  command: [python]
  tls: {tls}
"""


def service(folder: Path, tls: str):  # type: ignore[no-untyped-def]
    (folder / "pki").mkdir(exist_ok=True)
    (folder / "pki" / "ca.pem").touch()
    (folder / "tidegate.yaml").write_text(MANIFEST.format(tls=tls))
    return load([str(folder)]).specs.services[0].spec


def test_paths_are_relative_to_the_manifest(tmp_path: Path):
    assert service(tmp_path, "{ca: pki/ca.pem}").tls.ca == str(tmp_path / "pki" / "ca.pem")
    assert service(tmp_path, "{}").tls.verify


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ("{ca: pki/gone.pem}", "there is no file"),
        ("{key: pki/ca.pem}", "spec.tls.key: belongs to a certificate"),
        ("{ca: pki/ca.pem, verify: false}", "spec.tls.ca: has no effect with verify: false"),
        ("{serverName: 'a b'}", "spec.tls.serverName"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, tls: str, words: str):
    with pytest.raises(SpecError) as told:
        service(tmp_path, tls)
    assert words in str(told.value)


def test_switching_it_on_is_no_new_revision(tmp_path: Path):
    def revision(tls: str) -> str:
        service(tmp_path, tls)
        return load([str(tmp_path)]).specs.pools[0].revision

    assert revision("{}") == revision("{ca: pki/ca.pem}") == revision("null")
