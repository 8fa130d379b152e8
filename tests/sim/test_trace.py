"""Traces are read from what people have, and refused with a sentence that says what to do."""

from __future__ import annotations

import gzip
import json

import pytest

from tidegate.base.errors import TraceError
from tidegate.sim.trace import Trace
from tidegate.sim.trace_files import read

NGINX = '10.0.0.{i} - - [10/Oct/2025:13:55:{s:02d} +0200] "POST /ocr HTTP/1.1" 200 2326 "-" "curl/8"\n'
HAPROXY = (
    "haproxy[1]: 10.0.1.2:33317 [06/Feb/2025:12:14:{s:02d}.655] in ocr/r1 10/0/30/69/109 200 2750 - - ---- 1/1 0/0\n"
)
ENVOY = '[2025-04-15T20:17:{s:02d}.310Z] "POST /ocr HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq" "id" "ocr" "h"\n'


def write(tmp_path, text: str, name: str = "trace.csv") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_csv_with_comments_and_header(tmp_path):
    trace = read(write(tmp_path, "# bin_seconds=60 source=x\nseconds,requests\n0,60\n60,120\n120,0\n"))
    assert trace == Trace("trace", 60.0, (1.0, 2.0, 0.0))
    assert (trace.mean_rps, trace.length_s) == (1.0, 180.0)


def test_csv_packed_with_gzip_and_with_a_start(tmp_path):
    path = tmp_path / "day.csv.gz"
    path.write_bytes(gzip.compress(b"# start=2024-01-01T00:00:00Z\nseconds,requests\n0,10\n10,20\n20,5\n"))
    trace = read(str(path))
    assert (trace.bin_s, trace.start, trace.name) == (10.0, 1704067200.0, "day")


def test_epoch_seconds_give_the_start(tmp_path):
    trace = read(write(tmp_path, "1704067200,10\n1704067260,20\n"))
    assert (trace.start, trace.bin_s) == (1704067200.0, 60.0)


def test_gaps_are_marked_and_joined_by_a_line(tmp_path):
    trace = read(write(tmp_path, "# bin_seconds=10\n0,10\n10,20\n40,50\n50,50\n60,50\n"))
    assert trace.gaps == ((20.0, 40.0),)
    assert trace.rates == (1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("# nothing\nseconds,requests\n", "is empty", id="empty"),
        pytest.param("0,1\n20,1\n10,1\n", "row 3 is at second 10", id="unsorted"),
        pytest.param("0,1\n10,1\n10,1\n", "every bin once", id="twice"),
        pytest.param("0,1\n10,-4\n", "row 2 has -4", id="negative"),
        pytest.param("0,1\n10,nan\n", "finite number", id="not a number"),
        pytest.param("0,1\n10,x\n", "line 2", id="not a row"),
        pytest.param("hello world\nfoo\n", "line 2 is 'foo'", id="no rows at all"),
        pytest.param("0,0\n10,0\n", "nothing to simulate", id="all zero"),
        pytest.param("# bin_seconds=10\n0,1\n10,1\n500,1\n", "no rows", id="mostly gaps"),
        pytest.param("0,1\n1,90000000000\n", "Check the unit", id="absurd"),
        pytest.param("# start=2024-99-01\n0,1\n", "2024-05-01", id="start"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path, text, says):
    with pytest.raises(TraceError, match=says):
        read(write(tmp_path, text))


def test_a_missing_file_names_the_shapes():
    with pytest.raises(TraceError, match=r"no such file.*sine"):
        read("nowhere.csv")


@pytest.mark.parametrize("line", [NGINX, HAPROXY, ENVOY], ids=["nginx", "haproxy", "envoy"])
def test_access_logs_are_counted_by_instant(tmp_path, line):
    order = [5, 1, 2, 14, 13, 12, 11, 25]
    trace = read(write(tmp_path, "".join(line.format(i=i, s=s) for i, s in enumerate(order)), "access.log"))
    assert (trace.bin_s, trace.rates) == (10.0, (0.3, 0.4, 0.1))
    assert trace.start is not None


def test_prometheus_range_query_adds_its_series_up(tmp_path):
    values = [[1704067200 + 60 * i, str(2.0 + i)] for i in range(3)]
    answer = {"status": "success", "data": {"resultType": "matrix", "result": [{"values": values}] * 2}}
    trace = read(write(tmp_path, json.dumps(answer), "range.json"))
    assert (trace.bin_s, trace.rates, trace.start) == (60.0, (4.0, 6.0, 8.0), 1704067200.0)


def test_an_instant_query_is_refused(tmp_path):
    answer = {"data": {"resultType": "vector", "result": []}}
    with pytest.raises(TraceError, match="query_range"):
        read(write(tmp_path, json.dumps(answer), "i.json"))


def test_long_bins_are_joined_between_their_centres_and_short_ones_are_flat():
    assert Trace("a", 60.0, (1.0, 3.0)).points() == [(0.0, 1.0), (30.0, 1.0), (90.0, 3.0), (120.0, 3.0)]
    assert Trace("b", 10.0, (1.0, 3.0)).points() == [(0.0, 1.0), (10.0, 1.0), (10.0, 3.0), (20.0, 3.0)]


def test_scaling_smoothing_cutting_and_rebinning():
    trace = Trace("a", 10.0, (0.0, 3.0, 0.0, 3.0), start=100.0)
    assert trace.scaled_to_busy(6.0, 2, 0.8).mean_rps == pytest.approx(15.0)
    assert trace.smoothed(20.0).rates == pytest.approx((1.5, 1.0, 2.0, 1.5))
    assert trace.between(20.0, 40.0) == Trace("a", 10.0, (0.0, 3.0), start=120.0)
    assert trace.rebinned(20.0).rates == (1.5, 1.5)


@pytest.mark.parametrize("what", ["constant", "sine", "step:factor=2", "ramp", "flash:rise=5s", "weekly:mean=100"])
def test_shapes_have_a_rate_and_a_time_of_day(what):
    trace = read(what)
    assert trace.mean_rps > 0
    assert trace.start == 1704067200.0


def test_the_weekly_shape_has_its_mean():
    assert read("weekly:mean=100").mean_rps == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize(
    ("what", "says"),
    [("sine:frequency=3", "takes mean"), ("flash:rise=fast", "duration"), ("step:factor=-1", "above 0")],
)
def test_a_shape_with_a_bad_key_or_value_is_refused(what, says):
    with pytest.raises(TraceError, match=says):
        read(what)


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        pytest.param(b"", "t.csv", "is empty", id="no bytes"),
        pytest.param(b"0,1\n10,1\n20,1\n1e12,1\n", "t.csv", "stray rows", id="a stray row far away"),
        pytest.param(b"1704067200000,1\n1704067260000,2\n", "t.csv", "milliseconds", id="milliseconds"),
        pytest.param(b"0,1\ninf,1\n", "t.csv", "finite number", id="infinite time"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\xff", "t.csv", "cannot be read as text", id="a picture"),
        pytest.param(b"0,1\n10,2\n", "t.csv.gz", "cannot be read as text", id="not gzip"),
        pytest.param(gzip.compress(b"0,1\n10,2\n" * 1000)[:40], "t.csv.gz", "cannot be read as text", id="cut gzip"),
        pytest.param(b'{"status": "success", "da', "t.json", "whole answer", id="cut JSON"),
        pytest.param(b'{"status":"error","error":"parse error"}', "t.json", "parse error", id="refused query"),
        pytest.param(b'{"data":{"resultType":"matrix","result":[]}}', "t.json", "no series", id="no series"),
        pytest.param(b"[1, 2, 3]", "t.json", "query_range", id="other JSON"),
    ],
)
def test_malformed_files_get_a_sentence(tmp_path, data, name, says):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(TraceError, match=says):
        read(str(path))


def test_a_folder_is_told_apart(tmp_path):
    with pytest.raises(TraceError, match="is a folder"):
        read(str(tmp_path))


def test_a_packed_log_larger_than_its_head_is_counted_to_the_last_line(tmp_path):
    path = tmp_path / "access.log.gz"
    lines = "".join(NGINX.format(i=i, s=i % 60) for i in range(2000))
    assert len(lines) > 5 * 20_000
    path.write_bytes(gzip.compress(lines.rstrip("\n").encode()))
    trace = read(str(path))
    assert round(sum(trace.rates) * trace.bin_s) == 2000


def test_lines_of_another_form_are_skipped_but_not_most_of_them(tmp_path):
    good = [NGINX.format(i=i, s=i % 60) for i in range(30)]
    assert read(write(tmp_path, "".join([*good, "garbage\n" * 29]), "a.log")).peak_rps > 0
    with pytest.raises(TraceError, match="31 of 61 lines"):
        read(write(tmp_path, "".join([*good, "garbage\n" * 31]), "b.log"))


def test_a_stray_line_from_long_ago_is_told(tmp_path):
    stray = NGINX.format(i=1, s=1).replace("/2025", "/1901")
    with pytest.raises(TraceError, match="days apart"):
        read(write(tmp_path, NGINX.format(i=1, s=1) * 5 + stray, "a.log"))
