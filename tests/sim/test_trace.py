"""Traces are read from what people have, and refused with a sentence that says what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re

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


def answer(*series: list[tuple[float | str, float | str]], **labels: str) -> str:
    result = [{"metric": labels, "values": [[at, str(v)] for at, v in one]} for one in series]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


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


def test_a_part_of_a_file_keeps_its_time_of_day(tmp_path):
    trace = read(write(tmp_path, "# start=2024-01-01T00:00:00Z\nseconds,requests\n3600,10\n3660,20\n"))
    assert (trace.start, trace.length_s) == (1704067200.0 + 3600, 120.0)


def test_gaps_are_marked_and_joined_by_a_line(tmp_path):
    trace = read(write(tmp_path, "# bin_seconds=10\n0,10\n10,20\n40,50\n50,50\n60,50\n"))
    assert trace.gaps == ((20.0, 40.0),)
    assert trace.rates == (1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("# nothing\nseconds,requests\n", "is empty", id="empty"),
        pytest.param("0,1\n20,1\n10,1\n", "line 3 is at second 10", id="unsorted"),
        pytest.param("0,1\n10,1\n10,1\n", "every bin once", id="twice"),
        pytest.param("0,1\n10,-4\n", "line 2 has -4", id="negative"),
        pytest.param("0,1\n10,nan\n", "finite number", id="not a number"),
        pytest.param("0,1\n10,x\n", "line 2", id="not a row"),
        pytest.param("hello world\nfoo\n", "line 2 is 'foo'", id="no rows at all"),
        pytest.param("0,0\n10,0\n", "nothing to simulate", id="all zero"),
        pytest.param("# bin_seconds=10\n0,1\n10,1\n500,1\n", "no rows", id="mostly gaps"),
        pytest.param("0,1\n1,90000000000\n", "Check the unit", id="absurd"),
        pytest.param("# start=2024-99-01\n0,1\n", "line 1.*2024-05-01", id="start"),
        pytest.param("# bin_seconds=1.2.3\n0,1\n", "line 1.*bin_seconds=60", id="bin"),
        pytest.param("# bin_seconds=0\n0,1\n", "must be above 0", id="no bin"),
        pytest.param("0,1\n10,1\n1e300,1\n", "stray rows", id="far away"),
        pytest.param("seconds,requests\n\n0,1\n10,1\nx,1\n", "line 5 is 'x,1'", id="line of the file"),
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
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\xff", "t.csv", "is no text", id="a picture"),
        pytest.param(gzip.compress(b"0,1\n10,2\n" * 1000)[:40], "t.csv.gz", "cannot be read as text", id="cut gzip"),
        pytest.param(b'{"status": "success", "da', "t.json", "neither the answer.*Save what", id="cut JSON"),
        pytest.param(b'{"status":"error","error":"parse error"}', "t.json", "parse error", id="refused query"),
        pytest.param(b'{"data":{"resultType":"matrix","result":[]}}', "t.json", "no series", id="no series"),
        pytest.param(b"0,1\n" + b"1" * 200_000 + b",1\n", "t.csv", "line 2 is", id="a field beyond reason"),
        pytest.param(b"[" * 100_000, "t.json", "neither the answer", id="nested beyond reason"),
        pytest.param(answer([(1e308, 1), (-1e308, 2)]).encode(), "t.json", "seconds since 1970", id="absurd times"),
        pytest.param(answer([("nan", 1)]).encode(), "t.json", "seconds since 1970", id="a time that is none"),
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


START = 1759651200.0  # 2025-10-05T08:00:00Z


def seconds_after(text: str, seconds: float) -> str:
    """The first instant of a line, so much later."""
    return re.sub(r"(:\d\d):05", rf"\1:{5 + seconds:02.0f}", text, count=1)


@pytest.mark.parametrize(
    ("line", "zone"),
    [
        pytest.param('2001:db8::1 - - [05/Oct/2025:08:00:05 +0000] "GET / HTTP/2.0" 200 5 "-" "-"', "", id="IPv6"),
        pytest.param(
            'a.example:443 10.0.0.1 - - [05/Oct/2025:08:00:05 +0000] "GET / HTTP/1.1" 200 5', "", id="host first"
        ),
        pytest.param('"203.0.113.7, 10.1.1.1" - john doe [05/Oct/2025:16:00:05 +0800] "GET /" 200', "", id="spaces"),
        pytest.param('10.0.0.1 - - [05/Oct/2025:13:30:05 +0530] "GET / HTTP/1.1" 200 5 0.412', "", id="half an hour"),
        pytest.param('10.0.0.1 - - [2025-10-05T08:00:05+00:00] "GET / HTTP/1.1" 200 5', "", id="nginx, ISO"),
        pytest.param('10.0.0.1 [2025-10-05 08:00:05] "GET / HTTP/1.1" 200 5', "UTC", id="ISO without a zone"),
        pytest.param(
            '2025-10-05T08:00:01Z stdout F [2025-10-05T08:00:05.310Z] "GET / HTTP/2" 204 - 1', "", id="in a pod"
        ),
        pytest.param('{"level":"info","ts":"2025-10-05T08:00:05Z","status":200}', "", id="JSON, ISO"),
        pytest.param('{"time_local": "05/Oct/2025:08:00:05 +0000", "request_time": 0.4}', "", id="JSON, nginx"),
        pytest.param(
            'https 2025-10-05T08:00:05.1Z app/lb/5 1.2.3.4:1 - 0.1 200 "GET https://a:443/ HTTP/1.1"', "", id="AWS"
        ),
    ],
)
def test_logs_are_read_as_people_change_them(tmp_path, line, zone):
    lines = [seconds_after(line, i) for i in (0, 0, 1, 2, 30)]
    trace = read(write(tmp_path, "\r\n".join(lines) + "\r\n", "access.log"))
    assert (trace.start, trace.bin_s, trace.rates) == (START, 10.0, (0.4, 0.0, 0.0, 0.1))
    assert [zone in note for note in trace.notes] == ([True] if zone else [])


@pytest.mark.parametrize(("first", "step"), [("1759651205.25", 1), ("1759651205250", 1000)], ids=["seconds", "ms"])
def test_instants_in_json_may_be_numbers(tmp_path, first, step):
    lines = [f'{{"status": 200, "msec": {float(first) + i * step}}}' for i in (0, 0, 1, 2, 30)]
    trace = read(write(tmp_path, "\n".join(lines), "access.log"))
    assert (trace.start, trace.rates) == (START, (0.4, 0.0, 0.0, 0.1))


def test_haproxys_local_times_and_passed_over_lines_are_told(tmp_path):
    lines = [HAPROXY.format(s=i) for i in range(5)] + ["haproxy[1]: Server ocr/r1 is DOWN\n"]
    trace = read(write(tmp_path, "".join(lines), "h.log"))
    assert [n.split(": ", 1)[1] for n in trace.notes] == [
        "1 of 6 lines are no requests in HAProxy form and were passed over.",
        "its times (06/Feb/2025:12:14:04.655) have no time zone and are taken for UTC.",
    ]


def test_odd_bytes_of_a_client_do_not_spoil_a_log(tmp_path):
    path = tmp_path / "a.log"
    path.write_bytes(b"".join(NGINX.format(i=i, s=i).encode().replace(b"/ocr", b"/\xe9") for i in range(3)))
    assert round(sum(read(str(path)).rates) * 10) == 3


def test_a_line_with_an_impossible_time_is_named(tmp_path):
    lines = [NGINX.format(i=i, s=i) for i in range(3)]
    lines[2] = lines[2].replace("10/Oct", "32/Oct")
    with pytest.raises(TraceError, match=r"a\.log: line 3: '32/Oct"):
        read(write(tmp_path, "".join(lines), "a.log"))


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        pytest.param("time;requests\n0;600\n60;1200\n", None, id="semicolons"),
        pytest.param("time\trequests\n0\t600\n60\t1200\n", None, id="tabs"),
        pytest.param("time,requests\n2025-10-05T10:00:00+02:00,600\n2025-10-05T10:01:00+02:00,1200\n", START, id="ISO"),
        pytest.param("time,requests\n2025-10-05 08:00:00,600\n2025-10-05 08:01,1200\n", START, id="dates"),
    ],
)
def test_csv_as_spreadsheets_write_it(tmp_path, text, starts):
    trace = read(write(tmp_path, text))
    assert (trace.bin_s, trace.rates, trace.start) == (60.0, (10.0, 20.0), starts)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_files_are_known_by_their_first_bytes_and_not_by_their_names(tmp_path, encoding, pack):
    path = tmp_path / "trace.data"
    path.write_bytes(pack("seconds,requests\r\n0,600\r\n60,1200\r\n".encode(encoding)))
    assert read(str(path)).rates == (10.0, 20.0)


def test_a_trace_comes_through_a_pipe(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"0,600\n60,1200\n")))
    assert read("-").rates == (10.0, 20.0)


def test_a_trace_is_not_scaled_beyond_reason():
    with pytest.raises(TraceError, match="smaller scale"):
        read("constant:mean=5").scaled(1e9)


# -- Prometheus ----------------------------------------------------------------------------------------------------


def test_a_hole_in_one_series_is_bridged_and_told(tmp_path):
    whole = [(START + 60 * i, 2.0) for i in range(5)]
    holed = [(START, 1.0), (START + 60, "NaN"), (START + 180, 4.0), (START + 240, 4.0)]
    trace = read(write(tmp_path, answer(whole, holed), "p.json"))
    assert trace.rates == pytest.approx((3.0, 4.0, 5.0, 6.0, 6.0))
    assert trace.notes == ("p.json: 2 values missing within single series were filled by straight lines.",)


def test_a_series_that_came_late_or_went_early_adds_nothing_there(tmp_path):
    whole = [(START + 60 * i, 2.0) for i in range(4)]
    trace = read(write(tmp_path, answer(whole, whole[:1], whole[3:]), "p.json"))
    assert trace.rates == (4.0, 2.0, 2.0, 4.0)


def test_series_that_are_out_of_step_are_added_up_all_the_same(tmp_path):
    late = [(START + 15 * i + 7, 4.0) for i in range(10)]
    trace = read(write(tmp_path, answer([(START + 15 * i, 4.0) for i in range(10)], late), "p.json"))
    assert (trace.bin_s, trace.mean_rps) == (15.0, 8.0)


def test_a_hole_in_all_series_is_a_gap(tmp_path):
    values = [(START + 60 * i, 2.0) for i in range(10) if i not in (3, 4)]
    trace = read(write(tmp_path, answer(values, values), "p.json"))
    assert (trace.rates, trace.gaps) == ((4.0,) * 10, ((180.0, 300.0),))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(answer([(START, 5)], __name__="http_requests_total"), r"rate\(http_requests_total", id="counter"),
        pytest.param(answer([(START, "NaN")]), "every value is NaN", id="all NaN"),
        pytest.param(answer([(START, 1), (START, 2), (START + 60, 3)]), "two values", id="twice"),
        pytest.param(answer([(START, -3), (START + 60, 3)]), "row 1 has -180", id="negative"),
    ],
)
def test_answers_that_are_no_rates_are_refused(tmp_path, text, says):
    with pytest.raises(TraceError, match=says):
        read(write(tmp_path, text, "p.json"))
