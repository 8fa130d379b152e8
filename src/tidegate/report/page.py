"""The HTML around a report's tables: `headline`, `period` and `sections` are filled in, escaped already."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark"><title>Tidegate report</title>
<style>
:root {{ --ground: #f3f6f6; --card: #fff; --line: #dfe7e8; --ink: #12272d; --soft: #587079;
  --tide: #0e8a87; --bad: #b93a32; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #0b1417; --card: #111e22; --line: #20333a; --ink: #e4eff0;
  --soft: #93a9b0; --tide: #3cc5ba; --bad: #f0847a; }} }}
body {{ margin: 0 auto; padding: 32px 20px; max-width: 900px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }}
h1 {{ font-size: 26px; font-weight: 500; line-height: 1.35; margin: 0 0 4px; }}
p {{ color: var(--soft); margin: 0 0 20px; }}
section {{ background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 16px 20px;
  margin-bottom: 16px; overflow-x: auto; }}
h2 {{ font-size: 17px; margin: 0 0 8px; overflow-wrap: anywhere; }}
h2 span {{ font-size: 13px; font-weight: 500; margin-left: 8px; color: var(--tide); }}
h2 .bad {{ color: var(--bad); }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: 5px 16px 5px 0; border-top: 1px solid var(--line); vertical-align: top;
  font-weight: 400; }}
thead th, thead td {{ border: 0; color: var(--soft); }}
tbody th {{ color: var(--soft); }}
tbody td:nth-child(2) {{ font-weight: 600; }}
</style></head><body>
<h1>{headline}</h1>
<p>{period}. The static fleet is the one that somebody who knew the peak would have set up: the busiest five minutes
use 70% of it. It was not run: its cost and utilisation are computed from the measured load, its success rate is
simulated. What is called simulated was played with the same arrivals. A dash means not known.</p>
{sections}</body></html>
"""
