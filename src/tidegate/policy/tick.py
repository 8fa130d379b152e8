"""`tick`: the one decision function. Live loop, dry run, simulator and replay all call it.

Order of business: every replica takes one step of its life; every pool says how many it wants; what is wanted is
compared with what stands, within the room there is; the routing follows; actions come out in the order they must be
done (routing before stopping).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from tidegate.model.actions import Action, Forget, Prepare, Publish, Start, Stop
from tidegate.model.lifecycle import ReplicaState, RolloutPhase
from tidegate.model.memory import BalanceMemory, Memory, PoolMemory, Refusal, ReplicaMemory, Vacancy
from tidegate.model.observed import Observed, ReplicaSeen, Verdict
from tidegate.model.plan import Ejection, Mark, Plan, PoolPlan, RolloutStep, Tick, Transition
from tidegate.model.reasons import Reason
from tidegate.model.scaling import ScaleInput, ScaleMemory, ScaleResult
from tidegate.policy import (
    drains,
    lifecycle,
    marks,
    moves,
    outliers,
    placement,
    reconcile,
    remedy,
    rollout,
    routing,
    waves,
)
from tidegate.policy.balancing import Balancer
from tidegate.policy.distance import home_of, stepped
from tidegate.policy.scaling import scale as promise_scale
from tidegate.spec.cluster import Cluster
from tidegate.spec.resolve import PoolKey, PoolSpec, Specs

STARTUP_GUESS_S = 10.0  # before a start-up was ever measured
STARTUPS_KEPT = 20
STATIC = (
    "static"  # the revision of replicas on fixed hosts, which somebody else runs: routed to, never started or stopped
)
EJECTED = "does worse than its peers again and again"  # the `leaving` of a replica that was out too often
MOVED = "moved to "  # how the `leaving` of a replica begins that only goes to a better cluster
DRAINING, GONE, READY = ReplicaState.DRAINING, ReplicaState.GONE, ReplicaState.READY

Scale = Callable[[ScaleInput, ScaleMemory], ScaleResult]


def tick(specs: Specs, observed: Observed, memory: Memory, *, scale: Scale = promise_scale) -> Tick:
    """Decide once.

    Args:
        specs: what is declared.
        observed: what was seen; `observed.at` is now.
        memory: what the last tick returned (`Memory()` at the very beginning).
        scale: the scaling policy; the simulator passes the baselines it compares with.
    """
    work = _Work.of(specs, observed, memory)
    work.live()
    work.account()
    work.overflow()
    nearest_first = sorted(specs.pools, key=lambda p: p.placement.latencyClass == "batch")
    plans = {pool.key: work.pool(pool, scale) for pool in nearest_first}
    work.retire_undeclared()
    work.stop_drained()
    by_pool = work.by_pool()
    weights = work.balance(by_pool, plans)
    shot = routing.snapshot(specs, by_pool, memory.addresses, frozenset(work.held), weights, work.canaries)
    return work.finish(Plan(tuple(plans[p.key] for p in specs.pools), shot))


@dataclass(slots=True)
class _Work:
    """What one tick has in hand; mutable, and never seen outside of it."""

    specs: Specs
    observed: Observed
    before: Memory
    seen: Mapping[str, ReplicaSeen]
    replicas: dict[str, ReplicaMemory]
    pools: dict[PoolKey, PoolMemory]
    declared: Mapping[PoolKey, PoolSpec]
    names: dict[PoolKey, list[str]]
    room: placement.Room
    drained: Mapping[str, float]
    clusters: Mapping[str, Cluster]
    actions: list[Action] = field(default_factory=list)
    wake: list[float] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    rollouts: list[RolloutStep] = field(default_factory=list)
    ejections: list[Ejection] = field(default_factory=list)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    way: placement.Way = field(default_factory=placement.Way)
    round_trips_s: Mapping[str, float] = field(default_factory=dict)
    orders: dict[PoolKey, tuple[str, ...]] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    unremedied: dict[PoolKey, str] = field(default_factory=dict)
    canaries: routing.Canaries = field(default_factory=dict)

    @staticmethod
    def of(specs: Specs, observed: Observed, memory: Memory) -> _Work:
        seen = {r.id: r for r in observed.replicas}
        replicas = dict(memory.replicas)
        for name, r in seen.items():
            if name not in replicas:
                replicas[name] = lifecycle.first_memory(r)
        fixed = frozenset(c.name for c in specs.clusters if c.spec.runtime == "static")
        for name in [n for n, m in replicas.items() if m.revision == STATIC and m.cluster not in fixed]:
            del replicas[name]  # somebody else runs it: what is not declared any more is simply not ours to know
        names: dict[PoolKey, list[str]] = {}
        key, mine = None, list[str]()
        for name, known in replicas.items():
            if known.key is not key:  # those of a pool mostly follow each other
                key, mine = known.key, names.setdefault(known.key, [])
            mine.append(name)
        return _Work(
            specs=specs,
            observed=observed,
            before=memory,
            seen=seen,
            replicas=replicas,
            pools={p.key: memory.pools.get(p.key) or PoolMemory() for p in specs.pools},
            declared={p.key: p for p in specs.pools},
            names=names,
            room=placement.Room.of(specs.clusters, observed.clusters, moves.resting(memory.refusals, observed.at)),
            drained=drains.wanted(memory.drained, observed.intents, {*replicas, *(c.name for c in specs.clusters)}),
            clusters={c.name: c for c in specs.clusters},
            refusals=dict(memory.refusals),
            way=placement.Way(home_of(specs.clusters), stepped(memory.round_trips_s)),
        )

    # -- replicas ------------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Let every replica take one step; note start-up times and the places crashes leave."""
        for name, memory in self.replicas.items():
            if memory.state is READY and memory.phases_s and name in self.seen and self.seen[name].running:
                continue  # it has arrived, and nothing that is seen moves it
            visible = memory.cluster in self.observed.clusters
            spec = self.declared.get(memory.key)
            verify = spec is not None and spec.service.rollout.verify is not None and memory.revision != STATIC
            seen, at = self.seen.get(name), self.observed.at
            # Before it may be gone: a last look at how it was stopped.
            known = self._noted(name, memory, seen) if memory.state is DRAINING else memory
            step = lifecycle.advance(known, seen, cluster_seen=visible, at=at, verify=verify)
            self.replicas[name] = self._noted(name, step.memory, seen)
            self._leave(memory.key, step.vacancy)
            if memory.ready_at is None and step.memory.ready_at is not None:
                self._measured(step.memory)
                self.refusals.pop(memory.cluster, None)
        self._remedies()

    def _noted(self, name: str, memory: ReplicaMemory, seen: ReplicaSeen | None) -> ReplicaMemory:
        """Tell what the replica has passed since the last look; keep the phases of a start that is complete."""
        if memory.phases_s and memory.state is READY:
            return memory
        after, passed = marks.noted(name, memory, seen, self.observed.gateway, self.observed.at)
        self.marks += passed
        pool = self.pools.get(memory.key)
        if after.phases_s != memory.phases_s and pool is not None:
            self.pools[memory.key] = replace(pool, phases_s=(*pool.phases_s, after.phases_s)[-STARTUPS_KEPT:])
        elif after.state is READY and after.ready_at == self.observed.at:
            self.wake.append(self.observed.at)  # one more look at once: it may be in the balancer by then
        return after

    def _remedies(self) -> None:
        """Do something about replicas whose liveness failed, never for more than the pool's share at a time."""
        if all(p.service.probes.liveness is None for p in self.specs.pools) and not any(
            m.remedies_wait for m in self.pools.values()
        ):
            return
        at, failing = self.observed.at, dict[PoolKey, int]()
        for name, seen in self.seen.items():
            memory = self.replicas[name]
            pool = self.declared.get(memory.key)
            liveness = pool.service.probes.liveness if pool else None
            if liveness is None or memory.state not in (READY, ReplicaState.PREPARING):
                continue
            if seen.liveness is not Verdict.FAIL:
                if memory.sick_at is not None and seen.liveness is Verdict.PASS:
                    self._treated(name, remedy.recovered(name, memory, at))
                continue
            failing[memory.key] = failing.get(memory.key, 0) + 1
            room = remedy.budget(liveness, (m for _, m in self._mine(memory.key)), at)
            treated = remedy.treat(name, memory, seen, liveness, at, allowed=room > 0)
            self._treated(name, treated)
            if treated.refused:
                share = f"{liveness.maxShare:.0%} of the pool may be under remedy at a time"
                self.unremedied[memory.key] = f"{failing[memory.key]} fail their liveness probe; no more than {share}"
        for key, pool_memory in self.pools.items():
            waits = key in self.unremedied
            if waits is not pool_memory.remedies_wait:
                self.pools[key] = replace(pool_memory, remedies_wait=waits)
                text = self.unremedied.get(key, "the others may be remedied again")
                self.marks.append(Mark("", key, "remedy", text, at))

    def _treated(self, name: str, treated: remedy.Treated) -> None:
        self.replicas[name] = treated.memory
        self.marks += treated.marks
        self.actions += [treated.action] if treated.action else []
        self._leave(treated.memory.key, treated.vacancy)

    def _leave(self, key: PoolKey, vacancy: Vacancy | None) -> None:
        if vacancy is not None and key in self.pools:
            pool = self.pools[key]
            self.pools[key] = replace(pool, vacancies=(*pool.vacancies, vacancy))

    def _measured(self, memory: ReplicaMemory) -> None:
        pool = self.pools.get(memory.key)
        if pool is None or memory.ready_at is None or lifecycle.FOUND in memory.marks:
            return
        times = (*pool.startups_s.get(memory.cluster, ()), memory.ready_at - memory.created_at)[-STARTUPS_KEPT:]
        self.pools[memory.key] = replace(pool, startups_s={**pool.startups_s, memory.cluster: times})

    def by_pool(self) -> dict[PoolKey, list[routing.Replica]]:
        replicas, seen = self.replicas, self.seen
        grouped: dict[PoolKey, list[routing.Replica]] = {}
        for key, names in self.names.items():
            known = ((n, replicas[n], seen.get(n)) for n in names if n in replicas)
            grouped[key] = [r for r in known if r[1].state is not GONE]
        return grouped

    # -- pools ---------------------------------------------------------------------------------------------------

    def account(self) -> None:
        """Charge what is there to the quotas, and note what draining replicas will give back."""
        for name, memory in self.replicas.items():
            if memory.state is not DRAINING and name in self.seen and not self.room.quota:
                continue
            spec = self.declared.get(memory.key)
            if spec is None or memory.state is GONE:
                continue
            self.room.charge(memory.cluster, spec)
            if name not in self.seen:
                self.room.assume(memory.cluster, spec)
            if memory.state is DRAINING and name in self.seen:
                self.room.expect(memory.cluster, spec.resources)

    def overflow(self) -> None:
        """Give up replicas for which their cluster finds no room, where another one has some."""
        unplaced = [n for n, seen in self.seen.items() if not seen.placed]
        told = {}
        for name in unplaced:
            memory, spec = self.replicas[name], self.declared.get(self.replicas[name].key)
            waited_s = self.observed.at - memory.created_at
            if spec is None or memory.state is not ReplicaState.STARTING:
                continue
            after_s = spec.placement.overflow.afterSeconds
            if waited_s < after_s:
                self.wake.append(memory.created_at + after_s)
                continue
            told[memory.cluster] = moves.refused(self.before.refusals.get(memory.cluster), self.observed.at)
            self.room.close(memory.cluster)
            order = self._open(self._options(spec, 1)).order
            if any(self.room.fits(c, spec) for c in order if c != memory.cluster):
                why = f"no room in {memory.cluster} after {waited_s:.0f} s"
                self.replicas[name] = lifecycle.retire(memory, why, self.observed.at)
        self.refusals |= told

    def pool(self, spec: PoolSpec, scale: Scale) -> PoolPlan:
        """Decide for one pool: how many, start or retire the difference, move what stands in the wrong place."""
        at = self.observed.at
        present = self._present(spec.key)
        result = scale(self._scale_input(spec, present), self.pools[spec.key].scale)
        standing = [s for s in present if s.memory.revision != STATIC]
        ours = max(0, result.wanted - sum(s.ready for s in present if s.memory.revision == STATIC))
        if result.look_again_at is not None:
            self.wake.append(result.look_again_at)
        roll = self._roll(spec, ours, standing)
        standing = list(roll.standing)
        choice = self._options(spec, max(ours, roll.split.mains + roll.split.others))
        first_to_go = [c for c in roll.leaving if c in choice.order]
        order = (*(c for c in choice.order if c not in first_to_go), *reversed(first_to_go))  # given back from its end
        need = reconcile.need(spec, ours, roll.split, standing, roll.vacancies, order, at)
        for name, why in need.retire:
            self.replicas[name] = lifecycle.retire(self.replicas[name], self.replicas[name].leaving or why, at)
        if need.blocked_until is not None:
            self.wake.append(need.blocked_until)
        pool = self.pools[spec.key]
        if result.memory is not pool.scale or need.vacancies != pool.vacancies:
            self.pools[spec.key] = pool.now(scale=result.memory, vacancies=need.vacancies)
        placed: list[tuple[str, str]] = []
        for revision, count in need.starts:
            where = roll.clusters if revision == roll.split.main else None
            allowed = choice if where is None else choice._replace(order=tuple(c for c in where if c in choice.order))
            taken = [c for c, _ in placed]
            placed += [(c, revision) for c in self._place(spec, count, allowed, standing, taken)]
        self._start(spec, placed)
        pending = need.start - len(placed)
        if pending and not self._stay(standing):
            self._displace(spec, pending, choice, standing, [c for c, _ in placed])
            if not placed:
                self._make_room(spec, ours, standing, order)
        elif not pending and len(standing) == ours and not roll.under_way:
            self._move_one(spec, standing, choice)
        return self._plan(spec, result, (*roll.reasons, *need.reasons), pending)

    def _options(self, spec: PoolSpec, wanted: int) -> placement.Options:
        """Clusters for a pool in order of preference, near its users first."""
        choice = placement.options(spec, self.specs.clusters, wanted, self.way)
        usable = sum(c in self.room.capacity for c in choice.order)
        if 0 < usable < len(choice.order) and any(c in self.room.unseen for c in choice.order):
            # What cannot be seen protects nobody: serving all in what is left goes before the share in one cluster.
            choice = choice._replace(most=max(choice.most, -(-wanted // usable)))
        self.orders[spec.key] = choice.order
        return choice

    def _roll(self, spec: PoolSpec, wanted: int, standing: list[reconcile.Standing]) -> rollout.Step:
        """Let the pool's rollout take one step."""
        pool, seen = self.pools[spec.key], self.observed
        at_rest = pool.rollout.phase is RolloutPhase.STABLE and pool.rollout.stable == spec.revision
        at_rest = at_rest and not seen.intents  # then nobody asks in which order clusters would follow
        counts = Counter[str]() if at_rest else Counter(s.memory.cluster for s in standing)
        order = waves.plan(spec.service.rollout, self.specs.clusters, counts) if len(counts) > 1 else ()
        facts = rollout.Facts(seen.at, wanted, standing, pool.vacancies, seen.gateway, seen.intents, order)
        roll = rollout.advance(spec, pool.rollout, facts)
        if roll.memory is not pool.rollout:
            self.pools[spec.key] = replace(pool, rollout=roll.memory)
        self.held |= roll.held
        if roll.canaries:
            self.canaries[spec.key] = (roll.canaries, roll.only)
        self.rollouts += roll.moves
        if roll.look_again_at is not None:
            self.wake.append(roll.look_again_at)
        return roll

    def _place(
        self,
        spec: PoolSpec,
        count: int,
        choice: placement.Options,
        standing: list[reconcile.Standing],
        placed: Iterable[str],
    ) -> tuple[str, ...]:
        if not count:
            return ()
        failing = frozenset(v.cluster for v in self.pools[spec.key].vacancies if v.restarts > 1)
        there = _kept_there(standing, placed)
        return placement.place(spec, count, self._open(choice), self.room, there=there, avoid=failing)

    def _open(self, choice: placement.Options) -> placement.Options:
        """Without the clusters that an operator drains."""
        if not self.drained:
            return choice
        return choice._replace(order=tuple(c for c in choice.order if c not in self.drained))

    def _displace(
        self,
        spec: PoolSpec,
        pending: int,
        choice: placement.Options,
        standing: list[reconcile.Standing],
        placed: Iterable[str],
    ) -> None:
        """Drain replicas of batch services where an interactive one finds no room."""
        there = _kept_there(standing, placed)
        batch = [
            (n, m, owner)
            for owner in self.specs.pools
            if owner.placement.latencyClass == "batch"
            for n, m in self._alive(owner.key)
        ]
        for name in moves.preempt(spec, pending, self._open(choice), self.room, batch, there=there):
            why = f"makes room for {spec.key}"
            self.replicas[name] = lifecycle.retire(self.replicas[name], why, self.observed.at)

    def _move_one(self, spec: PoolSpec, standing: list[reconcile.Standing], choice: placement.Options) -> None:
        """Begin to move one replica to a cluster that is better for it, when one has had room for a while."""
        if len(choice.order) < 2 and len({s.memory.cluster for s in standing} | set(choice.order)) < 2:
            return
        if self.room.unseen and any(s.memory.cluster in self.room.unseen for s in standing):
            return  # what cannot be seen is not moved away for that, and its room may come back
        startup_s = lifecycle.startup_p95_s(self.pools[spec.key].startups_s, STARTUP_GUESS_S)
        move = moves.reclaim(
            spec,
            standing,
            self._open(choice),
            self.room,
            self.clusters,
            pressed_at=self.before.pressed_at,
            startup_s=startup_s,
            at=self.observed.at,
        )
        if move is not None:
            name, target = move
            self.replicas[name] = replace(self.replicas[name], leaving=f"{MOVED}{target}")
            self.room.take(target, spec)  # nobody else may have it until the replica that moves is started there
            self.wake.append(self.observed.at)

    def _lost(self, name: str, memory: ReplicaMemory) -> bool:
        """Whether a replica cannot be seen and does not answer either: replaced elsewhere, but never deleted for it."""
        gateway = self.observed.gateway
        if memory.cluster in self.observed.clusters or gateway is None:
            return False
        server = gateway.servers.get(name)
        return server is None or not server.up

    def _stay(self, standing: list[reconcile.Standing]) -> bool:
        """Call off the moves of a pool whose room went to others in the meantime; whether there were any."""
        moving = [s.id for s in standing if s.memory.leaving.startswith(MOVED)]
        for name in moving:
            self.replicas[name] = replace(self.replicas[name], leaving="")
        return bool(moving)

    def _make_room(
        self, spec: PoolSpec, wanted: int, standing: list[reconcile.Standing], order: tuple[str, ...]
    ) -> None:
        """Let one old replica go first when there is no room to surge, rather than never finish a rollout."""
        stale = [s for s in standing if s.stale]
        under_way = any(not s.ready for s in standing) or any(m.state is DRAINING for _, m in self._mine(spec.key))
        pool = self.pools[spec.key]
        if wanted >= 2 and not under_way and rollout.may_crowd(spec, pool.rollout, wanted):
            self.pools[spec.key] = replace(pool, rollout=replace(pool.rollout, crowded=True, crowded_at=wanted))
            self.wake.append(self.observed.at)
        elif wanted >= 2 and stale and not under_way:
            name = reconcile.victims(stale, 1, order)[0].id
            self.replicas[name] = lifecycle.retire(self.replicas[name], "replaced, no room to surge", self.observed.at)

    def _alive(self, key: PoolKey) -> list[tuple[str, ReplicaMemory]]:
        return [(n, m) for n, m in self._mine(key) if m.state not in (DRAINING, GONE)]

    def _mine(self, key: PoolKey) -> Iterable[tuple[str, ReplicaMemory]]:
        return [(n, self.replicas[n]) for n in self.names.get(key, ())]

    def _present(self, key: PoolKey) -> list[reconcile.Standing]:
        """The replicas of a pool that live, do not drain and are not lost."""
        servers = self.observed.gateway.servers if self.observed.gateway else {}
        visible, found = self.observed.clusters, []
        for name in self.names.get(key, ()):
            memory = self.replicas[name]
            state, cluster = memory.state, memory.cluster
            if state is DRAINING or state is GONE or (cluster not in visible and self._lost(name, memory)):
                continue
            server, seen = servers.get(name), self.seen.get(name)
            leaves = bool(memory.leaving) or name in self.drained or cluster in self.drained
            stale = leaves or cluster not in self.clusters
            ready = state is READY and (seen is None or seen.readiness is not Verdict.FAIL)
            found.append(reconcile.Standing(name, memory, ready, server.in_flight if server else 0, stale))
        return found

    def _scale_input(self, spec: PoolSpec, standing: list[reconcile.Standing]) -> ScaleInput:
        at = self.observed.at
        return ScaleInput(
            at=at,
            spec=spec,
            load=self.observed.loads.get(spec.key),
            ready=sum(s.ready for s in standing),
            starting_ages_s=tuple(sorted(at - s.memory.created_at for s in standing if not s.ready)),
            startup_s=lifecycle.startup_p95_s(self.pools[spec.key].startups_s, STARTUP_GUESS_S),
        )

    def _start(self, spec: PoolSpec, placed: Iterable[tuple[str, str]]) -> None:
        """Start replicas: (cluster, revision) of each."""
        at, pool = self.observed.at, self.pools[spec.key]
        if not placed and not pool.vacancies:
            return
        due = sorted((v for v in pool.vacancies if v.not_before <= at), key=lambda v: -v.restarts)
        number = pool.next_number
        for cluster, revision in placed:
            vacancy = next((v for v in due if v.revision in (revision, "")), None)
            if vacancy is not None:
                due.remove(vacancy)
            name, number = self._free_name(spec.key, revision, number)
            restarts = vacancy.restarts if vacancy else 0
            why = f"restart after {vacancy.cause}" if vacancy else "wanted"
            self.replicas[name] = ReplicaMemory(
                spec.key, revision, cluster, created_at=at, since=at, restarts=restarts, cause=why
            )
            self.names.setdefault(spec.key, []).append(name)
            self.actions.append(Start(name, spec.key, revision, cluster, why))
        waiting = tuple(v for v in pool.vacancies if v.not_before > at)
        self.pools[spec.key] = replace(pool, next_number=number, vacancies=(*waiting, *due))

    def _free_name(self, key: PoolKey, revision: str, number: int) -> tuple[str, int]:
        while (name := f"{key.service}-{key.pool}-{revision[:4]}-{number}") in self.replicas:
            number += 1
        return name, number + 1

    def _plan(self, spec: PoolSpec, result: ScaleResult, why: tuple[Reason, ...], pending: int) -> PoolPlan:
        visible = self.observed.clusters
        mine = [m for n, m in self._mine(spec.key) if m.cluster in visible or not self._lost(n, m)]
        placed: dict[str, int] = {}
        for m in mine:
            if m.state not in (DRAINING, GONE):
                placed[m.cluster] = placed.get(m.cluster, 0) + 1
        sick = (Reason("remedy", self.unremedied[spec.key]),) if spec.key in self.unremedied else ()
        reasons = (*result.reasons, *why, *self._pending_reason(spec, pending), *sick)
        states = [m.state for m in mine]
        return PoolPlan(
            key=spec.key,
            revision=spec.revision,
            wanted=result.wanted,
            placed=placed,
            pending=pending,
            ready=states.count(READY),
            starting=states.count(ReplicaState.STARTING) + states.count(ReplicaState.PREPARING),
            draining=states.count(DRAINING),
            reasons=reasons,
        )

    def _pending_reason(self, spec: PoolSpec, pending: int) -> tuple[Reason, ...]:
        if not pending:
            return ()
        r = spec.resources
        order = ", ".join(self.orders[spec.key]) or "no cluster"
        text = f"{pending} pending: no room for {r.cpu:g} cores and {r.memory / 2**20:g} MiB in {order}"
        return (Reason("placement", text, bound="capacity"),)

    # -- traffic -------------------------------------------------------------------------------------------------

    def balance(
        self, replicas: Mapping[PoolKey, list[routing.Replica]], plans: dict[PoolKey, PoolPlan]
    ) -> dict[str, int]:
        """The weight of every replica that serves; the plans are told the weights of their clusters."""
        balancer = Balancer.of(self.specs, self.observed, self.before.round_trips_s)
        self.round_trips_s = balancer.measured(r for of_pool in replicas.values() for r in of_pool)
        regions, held, weights = balancer.regions(replicas), frozenset(self.held), dict[str, int]()
        for spec in self.specs.pools:
            pool = self.pools[spec.key]
            mine = replicas.get(spec.key, ())
            balance = balancer.pool(spec, self.orders[spec.key], mine, held, pool.balance, regions)
            if balance is None:
                continue
            weights.update(balance.replicas)
            self.ejections += balance.steps
            self.pools[spec.key] = pool.now(balance=balance.memory)
            plans[spec.key] = plans[spec.key].weighted(balance.clusters)
            self._replace_stubborn(mine, balance.memory)
        return weights

    def _replace_stubborn(self, mine: Iterable[routing.Replica], memory: BalanceMemory) -> None:
        """Let a replica that was out again and again be replaced, one at a time."""
        again = frozenset(outliers.stubborn(memory.replicas))
        standing = [(n, m) for n, m, _ in mine if m.state is READY and m.revision != STATIC] if again else []
        if any(m.leaving == EJECTED for _, m in standing):
            return
        chosen = next(((n, m) for n, m in standing if n in again and not m.leaving), None)
        if chosen is not None:
            self.replicas[chosen[0]] = replace(chosen[1], leaving=EJECTED)

    # -- the end of replicas -------------------------------------------------------------------------------------

    def retire_undeclared(self) -> None:
        """Drain the replicas of services and pools that are no longer declared."""
        for key in [k for k in self.names if k not in self.pools]:
            for name, memory in self._mine(key):
                if memory.state is not GONE and memory.revision != STATIC:
                    self.replicas[name] = lifecycle.retire(memory, "no longer declared", self.observed.at)

    def stop_drained(self) -> None:
        """Stop what has drained (the balancer acknowledged and nothing runs on it) or had its time; forget the gone."""
        for name, memory in list(self.replicas.items()):
            if memory.state is READY:
                continue
            if memory.state is GONE:
                if name in self.seen:
                    self.actions.append(Forget(name, memory.cluster))
                del self.replicas[name]
            elif memory.state is DRAINING and memory.revision != STATIC:
                self._stop(name, memory)
            elif memory.state is ReplicaState.PREPARING:
                self.actions.append(Prepare(name, memory.cluster))

    def _stop(self, name: str, memory: ReplicaMemory) -> None:
        at, spec = self.observed.at, self.declared.get(memory.key)
        grace_s = spec.service.terminationGracePeriodSeconds if spec else 30.0
        if memory.stop_sent_at is None and not self._drained(name, memory) and at < memory.since + grace_s:
            self.wake.append(memory.since + grace_s)
            return
        if memory.stop_sent_at is None:
            self.marks.append(marks.told_to_stop(name, memory, grace_s, at))
            memory = self.replicas[name] = replace(memory, stop_sent_at=at)
        left_s = max(0.0, grace_s - (memory.stop_sent_at or at) + memory.since)
        self.actions.append(Stop(name, memory.cluster, left_s, memory.cause))

    def _drained(self, name: str, memory: ReplicaMemory) -> bool:
        """Whether no request is on it: never offered, drained and empty by the balancer's word, or gone from it."""
        if memory.ready_at is None or _at_once(memory, self.declared.get(memory.key)):
            return True
        gateway = self.observed.gateway
        if gateway is None:
            return False
        server = gateway.servers.get(name)
        return server is None or (server.draining and server.in_flight == 0)

    # -- the end of the tick -------------------------------------------------------------------------------------

    def finish(self, plan: Plan) -> Tick:
        gateway = self.observed.gateway
        first = [Publish(plan.snapshot)] if gateway is not None and gateway.version != plan.snapshot.version else []
        seen, last = self.seen, self.before.addresses
        addresses = {n: a for n in self.replicas if (a := (seen[n].address if n in seen else None) or last.get(n))}
        pressed = {**self.before.pressed_at, **dict.fromkeys(self.room.pressed, self.observed.at)}
        memory = Memory(
            self.pools, self.replicas, addresses, pressed, self.refusals, self.round_trips_s, dict(self.drained)
        )
        return Tick(
            plan=plan,
            actions=(*first, *self.actions),
            memory=memory,
            transitions=tuple(self._transitions()),
            look_again_at=min(self.wake, default=None),
            rollouts=tuple(self.rollouts),
            ejections=tuple(self.ejections),
            marks=tuple(self.marks),
        )

    def _transitions(self) -> Iterable[Transition]:
        at = self.observed.at
        for name, was in self.before.replicas.items():
            now = self.replicas.get(name)
            if now is was:
                continue
            after = now.state if now else GONE
            if was.state is not after:
                cause = now.cause if now else self._last_cause(name, was)
                yield Transition(name, was.key, was.state, after, cause, at)
        for name, now in self.replicas.items():
            if name not in self.before.replicas:
                yield Transition(name, now.key, "", now.state, now.cause, at)

    def _last_cause(self, name: str, was: ReplicaMemory) -> str:
        seen = self.seen.get(name)
        step = lifecycle.advance(was, seen, cluster_seen=True, at=self.observed.at)
        return step.memory.cause


def _kept_there(standing: Iterable[reconcile.Standing], placed: Iterable[str] = ()) -> dict[str, int]:
    """Replicas per cluster that stay, and those that are started there now."""
    there: dict[str, int] = {}
    for s in standing:
        there[s.memory.cluster] = there.get(s.memory.cluster, 0) + (not s.stale)
    for cluster in placed:
        there[cluster] = there.get(cluster, 0) + 1
    return there


def _at_once(memory: ReplicaMemory, spec: PoolSpec | None) -> bool:
    """Whether the remedy for a failed liveness is to restart without draining."""
    liveness = spec.service.probes.liveness if spec else None
    return memory.cause.startswith("liveness failed") and (liveness is None or liveness.remedy == "restart")
