"""From sound to segments: the rules on numbers, resampling on known tones, the detector on a real recording."""

from __future__ import annotations

import io

import pytest

NEEDS = "pip install 'tidegate[examples-speech]'"
np = pytest.importorskip("numpy", reason=NEEDS)
soundfile = pytest.importorskip("soundfile", reason=NEEDS)
pytest.importorskip("onnxruntime", reason=NEEDS)

from speech_segments import audio, segments  # noqa: E402
from speech_segments.detector import WINDOW, Detector  # noqa: E402
from speech_segments.errors import Refused  # noqa: E402
from speech_segments.resample import RATE, to_16k  # noqa: E402
from speech_segments.segments import Rules  # noqa: E402
from speech_segments.work import RECORDINGS  # noqa: E402

AUSTEN = (RECORDINGS / "austen.flac").read_bytes()
SPOKEN = [(1.0, 8.1), (9.6, 12.6), (14.1, 17.4)]  # where the three readings were put, with the breath around them


@pytest.fixture(scope="module")
def detector():
    return Detector()


def find(detector, data: bytes, **rules: float):
    recording = audio.probe(data, max_seconds=3600)
    chances = detector.probabilities(recording.blocks())
    return segments.find(chances, WINDOW / RATE, recording.seconds, Rules(**rules))


def encoded(samples, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def austen():
    return soundfile.read(io.BytesIO(AUSTEN), dtype="float32")[0]


def in_seconds(chances: str, **rules: float):
    """Segments of a drawing, one character of 0.1 s each: `#` speech, `-` between the thresholds, `.` silence."""
    levels = {"#": 0.9, "-": 0.4, ".": 0.1}
    given = {"min_speech": 0.0, "min_silence": 0.3, "pad": 0.0} | rules
    found = segments.find((levels[c] for c in chances), 0.1, len(chances) / 10, Rules(**given))
    return [(round(s.start, 3), round(s.end, 3)) for s in found]


@pytest.mark.parametrize(
    ("drawing", "rules", "expected"),
    [
        ("", {}, []),
        ("..........", {}, []),
        ("----------", {}, []),
        ("..###.....", {}, [(0.2, 0.5)]),
        ("..###..###....", {}, [(0.2, 1.0)]),
        ("..###...###...", {}, [(0.2, 0.5), (0.8, 1.1)]),
        ("..###-----....", {}, [(0.2, 1.0)]),
        ("..#######", {}, [(0.2, 0.9)]),
        ("..#######..", {}, [(0.2, 0.9)]),
        (".#....####....", {"min_speech": 0.2}, [(0.6, 1.0)]),
        ("##....##...", {"pad": 0.1}, [(0.0, 0.3), (0.5, 0.9)]),
        ("..##...##....", {"pad": 0.2}, [(0.0, 1.1)]),
    ],
    ids=[
        "nothing at all",
        "silence",
        "never sure enough to begin",
        "one word",
        "a breath does not end it",
        "a pause does",
        "half sure is enough to go on",
        "speech up to the end",
        "a short silence at the end is not speech",
        "a click is no speech",
        "padding stays inside of the recording",
        "padded segments that meet become one",
    ],
)
def test_segments_follow_the_rules(drawing, rules, expected):
    assert in_seconds(drawing, **rules) == expected


def test_segments_are_in_order_apart_and_inside_whatever_the_numbers():
    dice = np.random.default_rng(5)
    for _ in range(300):
        chances = dice.random(dice.integers(0, 200)) ** dice.uniform(0.2, 3)
        length = len(chances) * 0.032
        rules = Rules(*dice.uniform((0.05, 0, 0, 0), (0.95, 1, 1, 0.5)))
        edges = [edge for s in segments.find(chances, 0.032, length, rules) for edge in (s.start, s.end)]
        assert edges == sorted(edges)
        assert len(set(edges)) == len(edges)
        assert all(0 <= edge <= length + 1e-9 for edge in edges)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_pitch_loudness_and_length_at_any_rate(rate):
    tone = np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate).astype(np.float32)
    blocks = [tone[i : i + 1237] for i in range(0, len(tone), 1237)]
    heard = np.concatenate(list(to_16k(blocks, rate)))
    assert len(heard) == 2 * RATE
    expected = np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)
    assert np.abs(heard - expected)[200:-200].max() < 1e-3
    assert np.abs(heard - np.concatenate(list(to_16k([tone], rate)))).max() < 1e-6


def test_what_16_khz_cannot_hold_is_taken_out_not_folded_back():
    tone = np.sin(2 * np.pi * 11_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(np.concatenate(list(to_16k([tone], 48_000)))[200:-200]).max() < 1e-3


def test_the_three_sentences_are_found(detector):
    found = find(detector, AUSTEN)
    assert len(found) == 3
    for segment, (start, end) in zip(found, SPOKEN, strict=True):
        assert start - 0.1 <= segment.start <= start + 0.4
        assert end - 0.4 <= segment.end <= end + 0.1


@pytest.mark.parametrize(
    "data",
    [
        lambda: encoded(austen(), kind="OGG"),
        lambda: encoded(austen(), kind="FLAC", subtype="PCM_24"),
        lambda: encoded(austen(), subtype="FLOAT"),
        lambda: encoded(austen(), subtype="ULAW"),
        lambda: encoded(np.stack([austen(), np.zeros_like(austen())], axis=1)),
        lambda: encoded(np.repeat(austen(), 3), rate=48_000),
        lambda: encoded(austen()[::2], rate=8_000),
    ],
    ids=["ogg", "24-bit flac", "float wav", "u-law wav", "stereo with one side mute", "48 kHz", "8 kHz telephone"],
)
def test_they_are_found_in_every_kind_of_file(detector, data):
    for segment, (start, end) in zip(find(detector, data()), SPOKEN, strict=True):
        assert abs(segment.start - start) < 0.5
        assert abs(segment.end - end) < 0.5


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(3 * RATE, np.float32),
        np.zeros(1, np.float32),
        np.zeros(0, np.float32),
        np.sin(np.arange(3 * RATE) * 0.2).astype(np.float32) * 0.5,
        (np.random.default_rng(3).standard_normal(3 * RATE) * 0.05).astype(np.float32),
    ],
    ids=["silence", "one sample", "no sample", "a tone", "noise"],
)
def test_where_nobody_speaks_nothing_is_found(detector, samples):
    assert find(detector, encoded(samples)) == ()


def test_one_recording_does_not_colour_the_next(detector):
    first = find(detector, AUSTEN)
    find(detector, encoded(austen()[::-1].copy()))
    assert find(detector, AUSTEN) == first


@pytest.mark.parametrize(
    ("data", "code", "status"),
    [
        (b"", "empty_audio", 400),
        (b"not a sound", "not_audio", 400),
        (AUSTEN[:20], "not_audio", 400),
        (b"\0\0\0\x20ftypM4A " + bytes(64), "unsupported_media_type", 415),
        (b"\x1aE\xdf\xa3" + bytes(64), "unsupported_media_type", 415),
        (encoded(np.zeros(100, np.float32), rate=2_000), "unsupported_media_type", 415),
    ],
    ids=["empty", "text", "cut header", "m4a", "webm", "2 kHz"],
)
def test_what_cannot_be_heard_has_a_code(data, code, status):
    with pytest.raises(Refused) as caught:
        audio.probe(data, max_seconds=60)
    assert (caught.value.code, caught.value.status) == (code, status)


def test_the_length_is_checked_before_decoding():
    with pytest.raises(Refused) as caught:
        audio.probe(AUSTEN, max_seconds=10)
    assert (caught.value.code, caught.value.status) == ("too_long", 413)


def test_not_a_number_in_a_float_file_is_silence(detector):
    broken = austen()
    broken[16_000:32_000] = np.nan
    assert len(find(detector, encoded(broken, subtype="FLOAT"))) == 3
