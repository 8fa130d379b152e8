"""From a start order to everything the supervisor needs, and the start of the supervisor itself."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import tidegate
from tidegate.base import commands
from tidegate.base.errors import CommandError, RuntimeFault
from tidegate.model.environment import Place, replica_env, thread_variables
from tidegate.runtimes.local.limits import Share
from tidegate.runtimes.local.records import Order
from tidegate.runtimes.local.shim import LOCK_FD, PORT_FD, STARTED_FD
from tidegate.runtimes.protocol import StartOrder

_ROOT = str(Path(tidegate.__file__).parents[1])
# -I -S: the user's PYTHON* variables and site-packages belong to the replica, not to its supervisor
_BOOT = f"import sys; sys.path.insert(0, {_ROOT!r}); from tidegate.runtimes.local.shim import main; main()"
_FIRST_FREE_FD = 10  # descriptors are moved up here before they are put in place, so that none overwrites another
_BLOCKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)  # until the supervisor has its handlers


def directory_of(order: StartOrder) -> str:
    """The working folder; the current one when the manifest names none."""
    return order.pool.service.workingDir or str(Path.cwd())


def compose(
    order: StartOrder,
    share: Share,
    *,
    cards: dict[str, int],
    address: str,
    run: str,
    at: float,
    log: Path,
    log_bytes: int,
) -> Order:
    """Put one replica's order together.

    Args:
        cards: cards of each GPU kind that the cluster has.
        run: the entry of the environment that marks every process of the replica.

    Raises:
        RuntimeFault: its command cannot be run here; the message says why and what to do.
    """
    pool = order.pool
    key, service = pool.key, pool.service
    place = Place(order.replica, key.service, key.pool, pool.revision, address, order.gateway)
    declared = thread_variables(pool.resources.cpu) | share.variables(cards) | pool.env
    env = replica_env(os.environ, declared, place)
    name, _, value = run.partition("=")
    env[name] = value
    if not service.command:
        raise RuntimeFault(f"service {key.service} has no command; a local cluster cannot run an image. Add command.")
    directory = directory_of(order)
    return Order(
        replica=order.replica,
        service=key.service,
        pool=key.pool,
        revision=pool.revision,
        run=run,
        created_at=at,
        address=address,
        argv=_argv("command", service.command, env, directory, pool.env, key.service),
        env=env,
        cwd=directory,
        pre_stop=_argv("preStop", service.preStop, env, directory, pool.env, key.service) if service.preStop else [],
        grace_s=service.terminationGracePeriodSeconds,
        resources=pool.resources.amounts(),
        log=str(log),
        log_bytes=log_bytes,
        memory_bytes=share.memory_bytes,
        cpus=share.cpus,
        cards=share.cards,
        cgroup=share.cgroup,
    )


def _argv(
    field: str, command: tuple[str, ...], env: Mapping[str, str], directory: str, own: Mapping[str, str], service: str
) -> list[str]:
    try:
        return commands.resolve(command, env, directory, own_path="PATH" in own)
    except CommandError as error:
        raise RuntimeFault(f"service {service}, {field}: {error}") from error


def start_supervisor(folder: Path, order: Order, lock: int, port: int, started: int) -> int:
    """Start the supervisor of the order in `folder`; its pid.

    Args:
        lock: file descriptor of the folder's lock, already held.
        port: file descriptor that reserves the replica's port.
        started: file descriptor that is closed once the replica runs.

    Raises:
        OSError: no process could be started.
    """
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD) for fd in (lock, port, started)]
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _BOOT, str(folder)],
            {order.run.partition("=")[0]: order.run.partition("=")[2]},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 2, 1),
                (os.POSIX_SPAWN_DUP2, moved[0], LOCK_FD),
                (os.POSIX_SPAWN_DUP2, moved[1], PORT_FD),
                (os.POSIX_SPAWN_DUP2, moved[2], STARTED_FD),
            ],
            setsid=True,
            setsigmask=_BLOCKED,
        )
    finally:
        for fd in moved:
            os.close(fd)
