"""Manifests are read whole, and refused with every fault at once: file, line, path, value, what would be right."""

# ruff: noqa: E501  the tables of faults read better in one line

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tidegate.base.errors import SpecError
from tidegate.spec.cluster import Capacity
from tidegate.spec.load import Loaded, load, load_data, load_text, read_stored, together, write_stored

HERE = Capacity(cpu=8, memory=16 * 2**30)
HEAD = "apiVersion: tidegate.dev/v1\nkind: MediaService\nmetadata: {name: chat}\n"


def faults_of(text: str, **options: bool) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_text(text, "chat.yaml", here=HERE, **options)
    return list(caught.value.faults)


def service(spec: str) -> str:
    """A manifest whose `spec:` stands on line 4, its first field on line 5."""
    return HEAD + "spec:\n  command: [serve]\n" + "".join(f"  {line}\n" for line in spec.splitlines())


def cluster(spec: str, name: str = "here") -> str:
    return f"---\napiVersion: tidegate.dev/v1\nkind: Cluster\nmetadata: {{name: {name}}}\nspec: {spec}\n"


# (id, what stands in spec from line 6 on, the fault that is expected)
REFUSALS = [
    ("bounds", "scaling:\n  minReplicas: 5\n  maxReplicas: 2",
     "chat.yaml:8: spec.scaling.maxReplicas: 2 is below minReplicas: 5. Raise maxReplicas or lower minReplicas."),
    ("misspelt", "scaling: {minreplicas: 2}",
     "chat.yaml:6: spec.scaling.minreplicas: is not a field here. Did you mean minReplicas?"),
    ("misspelt short form", "probes: {readiness: {htp: /}}",
     "chat.yaml:6: spec.probes.readiness.htp: is not a field here. Did you mean http?"),
    ("elsewhere", "minReplicas: 2", "chat.yaml:6: spec.minReplicas: is not a field here. It belongs to spec.scaling."),
    ("number in quotes", 'port: "80"',
     'chat.yaml:6: spec.port: got "80", expected a whole number. Take the quotes off.'),
    ("true is no number", "port: true", "chat.yaml:6: spec.port: got true, expected a whole number."),
    ("number for text", "env:\n  A: 1", 'chat.yaml:7: spec.env.A: got 1, expected text. Put it in quotes: "1".'),
    ("nothing", "env:", "chat.yaml:6: spec.env: got nothing, expected a mapping (lines of `key: value`)."
     " Give a value or take the line out."),
    ("variable name", "env: {9x: a}", 'chat.yaml:6: spec.env.9x: "9x" is not a variable name. '
     "Use letters, digits and _, not starting with a digit."),
    ("PORT is ours", 'env: {PORT: "80"}', "chat.yaml:6: spec.env.PORT: PORT is set by Tidegate to where each replica "
     "must listen. Take it out."),
    ("duration", "promise: {within: soon}", 'chat.yaml:6: spec.promise.within: got "soon", expected a duration such as '
     '"500ms", "30s", "1m30s", "2h".'),
    ("ratio", "promise: {success: 99.95}", 'chat.yaml:6: spec.promise.success: got 99.95, expected a percentage such as '
     '"99.95%" or a number between 0 and 1.'),
    ("range", "concurrency: 0", "chat.yaml:6: spec.concurrency: got 0, expected a number >= 1."),
    ("word of a list", "rollout: {strategy: roling}", 'chat.yaml:6: spec.rollout.strategy: got "roling", expected '
     '"rolling", "canary" or "blueGreen". Did you mean rolling?'),
    ("nothing can move", "rollout: {maxSurge: 0}", "chat.yaml:6: spec.rollout.maxSurge: is 0 and maxUnavailable is 0, "
     "so nothing could move. Raise one of them."),
    ("two kinds of probe", "probes: {readiness: {http: /, tcp: true}}", "chat.yaml:6: spec.probes.readiness: needs "
     "exactly one of http, tcp, grpc, exec, python; got httpGet and tcpSocket."),
    ("no kind of probe", "probes: {readiness: {every: 1s}}", "chat.yaml:6: spec.probes.readiness: needs exactly one of "
     "http, tcp, grpc, exec, python; got none."),
    ("short form's line", "probes:\n  readiness:\n    http: healthz", 'chat.yaml:8: spec.probes.readiness.http: '
     'got "healthz", expected a path that begins with /.'),
    ("script", "probes: {liveness: {python: nope.py}}", 'chat.yaml:6: spec.probes.liveness.python: got "nope.py", but '
     f"there is no file {Path.cwd() / 'nope.py'}. Correct the path or add the script."),
    ("verify script", "rollout: {verify: {python: nope.py}}", 'chat.yaml:6: spec.rollout.verify.python: got "nope.py", '
     f"but there is no file {Path.cwd() / 'nope.py'}. Correct the path or add the script."),
    ("remedy without script", "probes: {liveness: {tcp: true, remedy: script}}", "chat.yaml:6: "
     'spec.probes.liveness.remedy: got "script", but there is no remedyScript. Add remedyScript: FILE.'),
    ("directory", "workingDir: nope", f'chat.yaml:6: spec.workingDir: got "nope", but there is no directory '
     f"{Path.cwd() / 'nope'}. Correct the path."),
    ("time zone", "scaling: {schedules: [{from: 19:30, to: 23:00, timeZone: Asia/Shangai, minReplicas: 1}]}",
     'chat.yaml:6: spec.scaling.schedules[0].timeZone: got "Asia/Shangai", expected an IANA time zone such as '
     '"Asia/Shanghai". Did you mean "Asia/Shanghai"?'),
    ("time of day", "scaling: {schedules: [{from: 25:00, to: 23:00, timeZone: UTC, minReplicas: 1}]}",
     'chat.yaml:6: spec.scaling.schedules[0].from: got "25:00", expected a time of day "HH:MM" from "00:00" to '
     '"23:59".'),
    ("date", "scaling: {schedules: [{from: 1:00, to: 2:00, timeZone: UTC, minReplicas: 1, dates: [2026-02-30]}]}",
     'chat.yaml:6: spec.scaling.schedules[0].dates[0]: got "2026-02-30", expected a date of the calendar as '
     '"YYYY-MM-DD".'),
    ("idle schedule", "scaling: {schedules: [{from: 1:00, to: 2:00, timeZone: UTC}]}", "chat.yaml:6: "
     "spec.scaling.schedules[0]: changes nothing. Give minReplicas, maxReplicas or both."),
    ("schedule against max", "scaling: {schedules: [{from: 1:00, to: 2:00, timeZone: UTC, minReplicas: 99}]}",
     "chat.yaml:6: spec.scaling.schedules[0].minReplicas: 99 is above scaling.maxReplicas: 10. Lower it, or raise "
     "maxReplicas here or there."),
    ("unknown cluster", "placement: {clusters: [heer]}", "chat.yaml:6: spec.placement.clusters[0]: there is no Cluster "
     '"heer". Did you mean here?'),
    ("unknown service", "uses: [faces]", 'chat.yaml:6: spec.uses[0]: there is no MediaService "faces". There is: chat.'),
    ("itself", "uses: [chat]", "chat.yaml:6: spec.uses[0]: a service cannot use itself. Take it out."),
    ("two pools of a name", "pools:\n- {name: a, match: {bytes: {min: 1M}}}\n- {name: a, match: {bytes: {min: 2M}}}",
     'chat.yaml:8: spec.pools[1].name: "a" names two pools. Rename one of them.'),
    ("pool without match", "pools: [{name: a}]", "chat.yaml:6: spec.pools[0].match: has no condition, so it would take "
     "every request. Add one, such as pixels: {min: 8000000}."),
    ("fallback to nowhere", "pools: [{name: a, match: {bytes: {min: 1}}, fallback: b}]", "chat.yaml:6: "
     'spec.pools[0].fallback: got "b", expected one of: default.'),
    ("fallback to smaller", "pools: [{name: a, match: {bytes: {min: 1}}, resources: {cpu: 2, memory: 2Gi}, "
     "fallback: default}]", 'chat.yaml:6: spec.pools[0].fallback: "default" has less cpu than "a", so it could not '
     "take its requests. Name a bigger pool."),
    ("no room", "resources:\n  cpu: 99", "chat.yaml:6: spec.resources: a replica fits into no cluster: here has 8 of cpu,"
     " it needs 99. Ask for less or add a bigger cluster."),
    ("no such card", "resources: {gpu: {a10: 1}}", "chat.yaml:6: spec.resources: a replica fits into no cluster: here "
     "has 0 of gpu/a10, it needs 1. Ask for less or add a bigger cluster."),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "fault"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_fault_says_where_what_and_what_to_do(spec: str, fault: str) -> None:
    assert faults_of(service(spec)) == [fault]


# (id, a whole text, a part of the fault)
BROKEN = [
    ("tab", "a:\n\tb: 1\n", "chat.yaml:2: a tab stands where YAML wants spaces. Indent with spaces."),
    ("unclosed", "a: {b\n", "chat.yaml:2: is not YAML: did not find expected"),
    ("twice", HEAD + "spec: {command: [a]}\nmetadata: {name: b}\n", "chat.yaml:5: metadata: stands here twice (first on"),
    ("tag", "a: !!python/name:os.system x\n", "chat.yaml:1: a: the tag"),
    ("merge key", "a: &x {b: 1}\nc: {<<: *x}\n", "chat.yaml:2: c: `<<` (merge) is not part of YAML 1.2"),
    ("own anchor", "a: &x [*x]\n", "*x names no anchor that ends before it"),
    ("deep", "[" * 60 + "]" * 60, "is nested deeper than 32 levels"),
    ("NUL", 'a: "\\0"\n', "chat.yaml:1: a: holds a NUL or a broken character"),
    ("complex key", "? [a]\n: b\n", "a key must be a word"),
    ("huge", "a" * (2**20 + 1), "is larger than 1 MiB"),
    ("text", "hello", 'got "hello", expected a manifest'),
    ("kind", "apiVersion: tidegate.dev/v1\nkind: mediaservice\n", 'got "mediaservice", expected MediaService, Cluster or '
     "Tenant. Did you mean MediaService?"),
    ("version", "kind: Cluster\n", 'apiVersion: is missing, expected "tidegate.dev/v1"'),
    ("no spec", HEAD, "spec: is missing. Add it."),
    ("name", "apiVersion: tidegate.dev/v1\nkind: Cluster\nmetadata: {name: A_b}\n", 'metadata.name: got "A_b", expected '
     "lower-case letters, digits and `-`"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "part"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_broken_text_is_refused_with_a_sentence(text: str, part: str) -> None:
    assert any(part in fault for fault in faults_of(text))


def test_aliases_that_multiply_are_refused_before_they_are_built() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "more than 50000 values" in faults_of("\n".join(levels))[-1]


def test_an_alias_within_reason_stands_for_its_value() -> None:
    text = service("pools:\n- {name: a, match: {bytes: {min: 1}}, env: &e {A: x}}\n"
                   "- {name: b, match: {bytes: {min: 2}}, env: *e}")  # fmt: skip
    assert [p.env for p in load_text(text).services[0].spec.pools] == [{"A": "x"}] * 2


def test_words_and_times_and_dates_are_not_taken_for_other_things() -> None:
    text = service("env: {A: on, B: no}\nscaling:\n  forecast: off\n  schedules:\n"
                   "  - {from: 19:30, to: 23:00, dates: [2026-11-11], timeZone: UTC, minReplicas: 2}")  # fmt: skip
    spec = load_text(text, here=HERE).services[0].spec
    assert spec.env == {"A": "on", "B": "no"}
    assert spec.scaling.forecast == "off"
    assert spec.scaling.schedules[0].from_ == "19:30"
    assert spec.scaling.schedules[0].dates == ("2026-11-11",)


def test_faults_of_all_files_come_at_once_in_the_order_of_files_and_lines(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.yaml").write_text(service("port: x\nconcurrency: 0"))
    (tmp_path / "b" / "c.yml").write_text("a: {b\n" + "# tidegate.dev\n")
    with pytest.raises(SpecError) as caught:
        load([tmp_path])
    assert [f.split(": ")[0] for f in caught.value.faults] == [
        f"{tmp_path}/a.yaml:6",
        f"{tmp_path}/a.yaml:7",
        f"{tmp_path}/b/c.yml:3",
    ]


def test_what_a_misspelt_key_hides_is_found_as_well() -> None:
    assert faults_of(service("scaling:\n  minReplicas: 20\n  maxreplicas: 3")) == [
        "chat.yaml:6: spec.scaling.maxReplicas: 3 is below minReplicas: 20. Raise maxReplicas or lower minReplicas.",
        "chat.yaml:8: spec.scaling.maxreplicas: is not a field here. Did you mean maxReplicas?",
    ]


def test_a_directory_is_read_with_all_below_it_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "x" / ".hidden").mkdir(parents=True)
    (tmp_path / "x" / "chat.yaml").write_text(service(""))
    (tmp_path / "x" / ".hidden" / "bad.yaml").write_text("tidegate.dev: {")
    (tmp_path / "package.json").write_text('{"name": "x"}')
    (tmp_path / "deploy.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\n# for tidegate.dev\n")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    loaded = load([tmp_path], here=HERE)
    assert [s.name for s in loaded.services] == ["chat"]
    passed_over = f'{tmp_path}/deploy.yaml:1: passed over: "Deployment" of "apps/v1" is not of Tidegate.'
    assert loaded.warnings == (passed_over,)


def test_a_file_that_is_named_must_be_readable_utf8_and_ours(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: b\nc: \xe9\n")
    with pytest.raises(SpecError, match=r"latin.yaml:2: is not UTF-8. Save it as UTF-8."):
        load([tmp_path / "latin.yaml"])
    with pytest.raises(SpecError, match="cannot be read: No such file or directory"):
        load([tmp_path / "nope.yaml"])
    with pytest.raises(SpecError, match="holds no manifest of Tidegate"):
        load([tmp_path])


def test_json_and_standard_input_are_read_too(tmp_path: Path) -> None:
    body = {"apiVersion": "tidegate.dev/v1", "kind": "MediaService", "metadata": {"name": "a"}, "spec": {}}
    body["spec"] = {"command": ["serve", "\u2028"]}
    (tmp_path / "a.json").write_text(json.dumps(body, indent="\t"))
    assert load([tmp_path / "a.json"]).services[0].spec.command == ("serve", "\u2028")
    assert [s.name for s in load(["-"], stdin=io.StringIO(service("")), here=HERE).services] == ["chat"]


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "warm.py").write_text("")
    (tmp_path / "chat.yaml").write_text(service("probes: {prepare: {python: warm.py}}"))
    spec = load([tmp_path], here=HERE).services[0].spec
    assert spec.workingDir == str(tmp_path)
    step = spec.probes.prepare[0]
    assert step.python is not None
    assert step.python.script == str(tmp_path / "warm.py")


def test_without_a_cluster_there_is_this_machine() -> None:
    loaded = load_text(service(""), here=HERE)
    assert [(c.name, c.spec.runtime) for c in loaded.clusters] == [("here", "local")]


def test_a_service_without_a_route_is_found_under_its_name() -> None:
    assert load_text(service("")).services[0].spec.route.pathPrefix == "/chat"
    assert load_text(service("route: {hosts: [a.b]}")).services[0].spec.route.pathPrefix == ""
    assert load_text(service("route: {pathPrefix: /a/}")).services[0].spec.route.pathPrefix == "/a"


def test_two_services_cannot_claim_the_same_requests() -> None:
    other = service("route: {pathPrefix: /chat}").replace("name: chat", "name: other")
    assert faults_of(service("") + "---\n" + other) == [
        "chat.yaml:12: spec.route: /chat already belongs to the service chat. Give one of them another prefix or host."
    ]
    apart = other.replace("{pathPrefix", "{hosts: [x.org], pathPrefix")
    assert len(load_text(service("") + "---\n" + apart).services) == 2


def test_a_name_stands_for_one_manifest() -> None:
    assert faults_of(service("") + "---\n" + service("route: {pathPrefix: /x}")) == [
        'chat.yaml:9: metadata.name: a second MediaService is named "chat". Rename one of them.'
    ]


def test_a_command_is_needed_here_and_an_image_in_kubernetes() -> None:
    bare = HEAD + "spec: {concurrency: 2}\n"
    assert "spec.command: is missing; the local cluster here runs commands" in faults_of(bare)[0]
    faults = faults_of(service("") + cluster("{runtime: kubernetes}", "far"))
    assert "spec.image: is missing; the kubernetes cluster far runs images" in faults[0]
    both = service("placement: {clusters: [here]}") + cluster("{}") + cluster("{runtime: kubernetes}", "far")
    assert len(load_text(both, here=HERE).clusters) == 2


def test_a_reference_to_a_refused_manifest_is_no_second_fault() -> None:
    text = service("placement: {clusters: [far]}") + cluster("{runtime: mars}", "far")
    assert len(faults_of(text)) == 1


def test_static_hosts_and_quotas_name_what_exists() -> None:
    static = cluster("{runtime: static, hosts: [{service: chat, pool: huge, address: 'h:1'}]}", "fixed")
    assert 'there is no pool of chat "huge". There is: default.' in faults_of(service("") + static)[0]
    quota = cluster("{quota: {chap: {cpu: 1}}}")
    assert 'there is no MediaService "chap". Did you mean chat?' in faults_of(service("") + quota)[0]
    small = cluster("{quota: {chat: {cpu: 500m}}}")
    assert "here has 0.5 of cpu, it needs 1" in faults_of(service("") + small)[0]


def test_part_of_a_world_may_refer_to_the_rest() -> None:
    text = service("uses: [faces]\nplacement: {clusters: [far]}")
    loaded = load_text(text, partial=True)
    assert loaded.clusters == ()
    with pytest.raises(SpecError, match="there is no MediaService"):
        together(loaded.manifests, here=HERE)


def test_settings_that_break_the_promise_by_themselves_are_a_warning() -> None:
    text = service("promise: {within: 2s}\nqueue: {maxWaitSeconds: 5s}\nscaling: {minReplicas: 9}")
    warnings = load_text(text, "chat.yaml", here=HERE).warnings
    assert warnings == (
        "chat.yaml:7: spec.queue.maxWaitSeconds: 5 s is longer than promise.within: 2 s; who waits that long is "
        "answered too late. Lower it.",
        "chat.yaml:8: spec.scaling.minReplicas: 9 replicas of chat/default need more cpu than there is: 8 fit. "
        "The others will stay pending.",
    )


def test_data_from_the_api_is_checked_the_same_way() -> None:
    with pytest.raises(SpecError) as caught:
        load_data([{"apiVersion": "tidegate.dev/v1", "kind": "MediaService", "metadata": {"name": "a"},
                    "spec": {"port": 0}}, 3])  # fmt: skip
    assert caught.value.faults == (
        "manifests[0]: spec.port: got 0, expected a number >= 1.",
        "manifests[1]: got 3, expected a manifest: apiVersion, kind, metadata, spec.",
    )


def test_the_store_gives_back_what_was_put_in_and_ignores_what_it_does_not_know() -> None:
    manifest = load_text(service("rollout: {maxSurge: 100%, batch: 3}"), here=HERE).services[0]
    assert read_stored(write_stored(manifest)) == manifest
    newer = json.loads(write_stored(manifest))
    newer["spec"]["color"] = "blue"
    newer["spec"]["scaling"]["mood"] = 3
    assert read_stored(json.dumps(newer)) == manifest
    assert read_stored('{"kind": "Painting"}') is None
    with pytest.raises(SpecError, match="Apply it again"):
        read_stored("{")


def test_loaded_is_sorted_and_resolved() -> None:
    loaded = load_text(service("") + cluster("{}", "z") + cluster("{}", "a"), here=HERE)
    assert isinstance(loaded, Loaded)
    assert [c.name for c in loaded.clusters] == ["a", "z"]
    assert [str(p.key) for p in loaded.specs.pools] == ["chat/default"]
