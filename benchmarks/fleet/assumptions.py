"""Everything the fleet benchmark assumes, in one place; `told()` prints it beside the results."""

from __future__ import annotations

import math

# Demand. The fleet's size is the article's; the shape of its traffic is ours, since it does not give one.
CORES, CARDS = 60_000, 1_000
CPU_HOSTS, GPU_HOSTS = 1_500, 800
DAILY_PEAK = 1.7  # busiest quarter of an hour over the mean of the day
CAMPAIGN = 3.0  # a campaign asks for so many times the usual
STATIC_SHARE = 0.6  # of a static fleet is used when a campaign meets the daily peak: the usual head-room and no more
NOISE, NOISE_S = 0.05, 900.0  # the rate wanders by 5% (one standard deviation), with a memory of a quarter of an hour
CPU_SERVICES, GPU_SERVICES = 12, 4
LARGE_SHARE = 0.2  # of the work is large media, in a size class of its own
HISTORY_DAYS = 4.0  # what the policy has seen before the measured day

# Requests: slots are large, so that every single one can be simulated: 4 cores for 1 s instead of 1 core for 4 s.
SLOT_CORES, SLOT_S, SLOT_CV, SLOTS = 4, 1.0, 0.5, 2
LARGE_CORES, LARGE_S, LARGE_CV = 16, 6.0, 0.7
CARD_S, CARD_CV = 0.5, 0.4
WITHIN_S, LARGE_WITHIN_S, CARD_WITHIN_S = 5.0, 60.0, 5.0
PROMISE = 0.9995

# Clusters and starts. Nodes are there or come within the start-up time; nothing is started beyond the capacity.
CLUSTER_CORES, CLUSTER_CARDS = 40_000, 700  # in each of two regions
DISTANCE_S = 0.03
STARTUP_S, CARD_STARTUP_S, STARTUP_CV = 180.0, 300.0, 0.3  # node, image, model, probes
PRICE_CORE_H, PRICE_CARD_H = 0.03, 1.0
ON_DEMAND = 1.3  # what elastic capacity may cost over the same capacity rented for good

# What goes wrong, before and after alike.
HOST_CRASH_DAYS = 180.0  # a host crashes once in so many days
KILLS_PER_LARGE = 1 / 20_000  # a large medium takes so much memory that the process ends
DETECT_S = 10.0  # before: until the balancer leaves a dead host out
UPGRADES_PER_WEEK = 1.0  # of each service

# The day: a campaign that was announced, a crowd that was not, two upgrades.
CAMPAIGN_SERVICES, CAMPAIGN_FROM_H, CAMPAIGN_TO_H = 3, 20.0, 22.0
CROWD_SERVICE, CROWD_AT_H, CROWD_FACTOR, CROWD_RISE_S = 3, 11.0, 2.0, 300.0
SMALL_UPGRADE_H, LARGE_UPGRADE_H = 14.0, 16.0
WATCH_S = 60.0

# What the article says of its hands, taken as it is: nothing here can simulate people.
BY_HAND = {
    "scale-out, fewer than 2000 cores": "3 h",
    "scale-out, more": "2 days",
    "upgrade, fewer than 50 instances": "6 h",
    "upgrade, more": "2 days",
}
ARTICLE_AFTER = {
    "utilisation": "30%",
    "cost": "-40%",
    "success": "99.95%",
    "scale-out, fewer than 2000 cores": "10 min",
    "scale-out, more": "6 h",
    "upgrade, fewer than 50 instances": "30 min",
    "upgrade, more": "6 h",
}

MEAN_CORES = CORES * STATIC_SHARE / (DAILY_PEAK * CAMPAIGN)  # busy on average, so that the fleet has the article's size
MEAN_CARDS = CARDS * STATIC_SHARE / (DAILY_PEAK * CAMPAIGN)


def small() -> None:
    """A tenth of the fleet and all that happens within two hours: to see in a minute that everything is counted."""
    globals().update(
        CORES=CORES // 10, CARDS=CARDS // 10, CPU_HOSTS=CPU_HOSTS // 10, GPU_HOSTS=GPU_HOSTS // 10,
        MEAN_CORES=MEAN_CORES / 10, MEAN_CARDS=MEAN_CARDS / 10, CPU_SERVICES=4, GPU_SERVICES=1, HISTORY_DAYS=0.5,
        CAMPAIGN_SERVICES=1, CAMPAIGN_FROM_H=1.25, CAMPAIGN_TO_H=1.75, CROWD_SERVICE=2, CROWD_AT_H=0.75,
        SMALL_UPGRADE_H=0.1, LARGE_UPGRADE_H=0.3,
    )  # fmt: skip


def weights(count: int) -> list[float]:
    """Shares of the services: a few large ones, many small ones."""
    raw = [1 / (i + 1) ** 0.7 for i in range(count)]
    return [r / math.fsum(raw) for r in raw]


def shape(hour: float, turned_h: float = 0.0) -> float:
    """The usual rate over its mean at an hour of the day: quiet nights, a morning and a higher evening peak."""
    h = (hour + turned_h) % 24
    morning, evening = math.exp(-(((h - 11) / 3.0) ** 2)), math.exp(-(((h - 20.5) / 2.6) ** 2))
    return (0.35 + 0.85 * morning + 1.35 * evening) / 1.0


_MEAN = math.fsum(shape(i / 10) for i in range(240)) / 240
_PEAK = max(shape(i / 10) for i in range(240)) / _MEAN


def daily(hour: float) -> float:
    """`shape` with mean 1 and its peak at `DAILY_PEAK`."""
    return 1 + (shape(hour) / _MEAN - 1) * (DAILY_PEAK - 1) / (_PEAK - 1)


def told() -> list[str]:
    """The assumptions as sentences."""
    return [
        f"Traffic: a morning and an evening peak, the latter {DAILY_PEAK:g}x the mean; it wanders by {NOISE:.0%}. "
        f"{CPU_SERVICES} CPU services with two size classes each ({LARGE_SHARE:.0%} of the work is large media), "
        f"{GPU_SERVICES} GPU services; their shares fall as 1/rank^0.7.",
        f"Before: static hosts, {CORES} cores on {CPU_HOSTS} and {CARDS} cards on {GPU_HOSTS} hosts, sized so that a "
        f"campaign of {CAMPAIGN:g}x at the daily peak uses {STATIC_SHARE:.0%} of them; so the mean demand is "
        f"{MEAN_CORES:.0f} busy cores and {MEAN_CARDS:.0f} busy cards. Its utilisation follows from that.",
        f"Requests: {SLOT_CORES} cores for {SLOT_S:g} s (cv {SLOT_CV:g}), large ones {LARGE_CORES} cores for "
        f"{LARGE_S:g} s (cv {LARGE_CV:g}), GPU ones a card for {CARD_S:g} s (cv {CARD_CV:g}); every one is simulated. "
        f"Promise: {PROMISE:.2%} within {WITHIN_S:g} s ({LARGE_WITHIN_S:g} s large).",
        f"After: replicas of {SLOTS * SLOT_CORES} cores and {SLOTS} slots, {LARGE_CORES} cores and 1 slot, 1 card and "
        f"1 slot (and 1 core), in two regions of {CLUSTER_CORES} cores and {CLUSTER_CARDS} cards, "
        f"{DISTANCE_S * 1000:g} ms apart. Start-up {STARTUP_S:g} s for CPU and {CARD_STARTUP_S:g} s for GPU replicas "
        f"(mean; cv {STARTUP_CV:g}), new nodes included. The policy has seen {HISTORY_DAYS:g} ordinary days before.",
        f"The day: a campaign of {CAMPAIGN:g}x for the {CAMPAIGN_SERVICES} largest CPU services from "
        f"{CAMPAIGN_FROM_H:g} to {CAMPAIGN_TO_H:g} h, known beforehand and declared as a schedule; an unannounced "
        f"crowd of {CROWD_FACTOR:g}x within {CROWD_RISE_S / 60:g} min for one service at {CROWD_AT_H:g} h; an upgrade "
        f"of the smallest service at {SMALL_UPGRADE_H:g} h and of the largest at {LARGE_UPGRADE_H:g} h (25% a batch, "
        f"watched for {WATCH_S:g} s).",
        f"Faults, before and after: each host crashes once in {HOST_CRASH_DAYS:g} days, one large request in "
        f"{1 / KILLS_PER_LARGE:.0f} ends the process it is on. Before: one process of all services on each host (the "
        f"mixed blob), the balancer leaves a dead one out after {DETECT_S:g} s, nothing is tried again, an upgrade "
        f"restarts hosts without draining, {UPGRADES_PER_WEEK:g} a week and service. Nobody waits (in its favour).",
        f"Money: {PRICE_CORE_H:g} a core-hour and {PRICE_CARD_H:g} a card-hour, before and after; after, what runs "
        f"is paid for, start-up and drain included; once more at {ON_DEMAND:g}x the price, as elastic capacity may. "
        "Memory, disks, network and people are left out.",
        "Scale-out and upgrade times before are the article's: nothing here simulates people at work.",
    ]
