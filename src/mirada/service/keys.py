"""API keys: who may ask for what, and how often. Their file holds digests; a key itself is shown once, when it is made."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mirada.config import KeysConfig
from mirada.errors import MiradaError
from mirada.files import written_aside
from mirada.service.logs import log
from mirada.service.problems import Refusal

_LOOK_S = 1.0  # so often a service looks whether the file has changed
_TOKEN = "MIRADA_TOKEN"  # under this name the token of the environment stands in the audit log


@dataclass(frozen=True)
class Key:
    """What is kept of a key.

    Attributes:
        name: whose it is; a rotated key and the one before share it.
        sha256: of the key, hexadecimal. It has 256 random bits, so that a slow hash would guard it no better.
        scopes: of 'predict', 'jobs', 'admin'.
        per_minute: requests; 0: any number.
        ends_at: seconds since 1970 after which it is worth nothing; None: it does not end.
    """

    name: str
    sha256: str
    scopes: tuple[str, ...]
    per_minute: float = 0.0
    ends_at: float | None = None


def read_keys(path: Path) -> list[Key]:
    """The keys of a file.

    Raises:
        MiradaError: it is absent or damaged.
    """
    try:
        return [Key(**entry | {"scopes": tuple(entry["scopes"])}) for entry in json.loads(path.read_text())["keys"]]
    except FileNotFoundError as error:
        raise MiradaError(f"{path} is missing: make a key first, with `python src/keys.py add=<name>`.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MiradaError(f"{path} can't be read as API keys ({error!r}): put back a copy, or make it anew.") from error


def change_keys(config: KeysConfig, now: float) -> tuple[list[Key], str | None]:
    """Add, rotate or revoke as a configuration says.

    Args:
        config: of `keys`.
        now: seconds since 1970.

    Returns:
        All keys that are left, and the new one itself, which is written nowhere.

    Raises:
        MiradaError: the name is taken or unknown.
    """
    path = Path(config.file)
    keys = read_keys(path) if path.exists() or config.add is None else []
    keys = [key for key in keys if key.ends_at is None or key.ends_at > now]
    made = None
    name = config.add or config.rotate or config.revoke
    known = [key for key in keys if key.name == name]
    if config.add and known:
        raise MiradaError(f"add={name} is taken in {path}: choose another name, or rotate={name}.")
    if (config.rotate or config.revoke) and not known:
        names = ", ".join(sorted({key.name for key in keys})) or "none"
        raise MiradaError(f"There is no key {name} in {path}: it has {names}.")
    if config.add:
        made, new = _make_key(config.add, tuple(config.scopes), config.per_minute)
        keys.append(new)
    elif config.rotate:
        ends_at = now + 3600 * config.grace_h
        keys = [_ended(key, ends_at) if key.name == name else key for key in keys]
        made, new = _make_key(config.rotate, known[-1].scopes, known[-1].per_minute)
        keys.append(new)
    elif config.revoke:
        keys = [key for key in keys if key.name != name]
    if name is not None:
        _write_keys(keys, path)
    return keys, made


def run(config: KeysConfig) -> None:
    """Do as a configuration says, and print the keys that there are."""
    keys, made = change_keys(config, time.time())
    for key in keys:
        rate = f"{key.per_minute:g} a minute" if key.per_minute else "any number"
        end = "" if key.ends_at is None else f", until {time.strftime('%Y-%m-%d %H:%M', time.localtime(key.ends_at))}"
        print(f"{key.name}: {', '.join(key.scopes)}; {rate}{end}")
    if not keys:
        print(f"no keys in {config.file}")
    if made is not None:
        print(f"The new key, shown this once: {made}")


def _make_key(name: str, scopes: tuple[str, ...], per_minute: float) -> tuple[str, Key]:
    made = f"mirada_{secrets.token_urlsafe(32)}"
    return made, Key(name, _digest(made), scopes, per_minute)


def _ended(key: Key, ends_at: float) -> Key:
    return Key(key.name, key.sha256, key.scopes, key.per_minute, min(ends_at, key.ends_at or ends_at))


def _write_keys(keys: list[Key], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as part:
            part.touch(mode=0o600, exist_ok=False)
            part.write_text(json.dumps({"keys": [asdict(key) for key in keys]}, indent=2) + "\n")
            if path.exists():  # a group that may read it keeps that
                part.chmod(path.stat().st_mode & 0o777)
    except OSError as error:
        raise MiradaError(f"{path} can't be written ({error.strerror}): choose another file=….") from error


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Access:
    """Decides who may ask for what.

    Args:
        path: the file of keys; it may change while the service runs. None: there are none.
        token: that may ask for everything; None: there is none. With neither, everybody may.
        clock: seconds since 1970.

    Raises:
        MiradaError: the file is absent or damaged.
    """

    def __init__(self, path: Path | None, token: str | None, clock: Callable[[], float] = time.time) -> None:
        self._path, self._token, self._clock = path, _digest(token) if token else None, clock
        self._state: tuple[int, int] | None = None
        self._looked = -math.inf
        self._keys: dict[str, Key] = {}
        self._rooms: dict[str, tuple[float, float]] = {}  # name -> requests that it may still make, and when that was
        if path is not None:
            self._keys = {key.sha256: key for key in read_keys(path)}

    @property
    def needed(self) -> bool:
        """Whether requests have to say who sends them."""
        return self._token is not None or self._path is not None

    def admit(self, path: str, authorization: str) -> str | None:
        """Let a request in.

        Args:
            path: that it asks for, below the service's root.
            authorization: the header.

        Returns:
            The name of its key; None where it needs none.

        Raises:
            Refusal: 401 without a key, 403 with one that may not, 429 with one that asks too often.
        """
        if not self.needed or not (path.startswith("/v1/") or path == "/metrics"):
            return None
        scheme, _, given = authorization.partition(" ")
        digest = _digest(given.strip()) if scheme.lower() == "bearer" else ""
        if self._token is not None and hmac.compare_digest(digest, self._token):
            return _TOKEN
        self._look()
        key = self._keys.get(digest)
        if key is None or (key.ends_at is not None and key.ends_at <= self._clock()):
            raise Refusal(401, "Send the header Authorization: Bearer <key>, with a key or the token of the service.")
        scope = scope_of(path)
        if scope is not None and scope not in key.scopes:
            raise Refusal(403, f"The key may not do that: it needs the scope {scope}.", sender=key.name)
        self._count(key)
        return key.name

    def _count(self, key: Key) -> None:
        """Take a request off what a key may make: a minute's worth at once, refilled all the time."""
        if not key.per_minute:
            return
        now = self._clock()
        left, then = self._rooms.get(key.name, (max(1.0, key.per_minute), now))
        left = min(max(1.0, key.per_minute), left + max(0.0, now - then) * key.per_minute / 60)
        enough = left >= 1 - 1e-9
        self._rooms[key.name] = (left - 1 if enough else left, now)
        if not enough:
            wait = max(1, math.ceil((1 - left) * 60 / key.per_minute))
            sentence = f"This key may send {key.per_minute:g} requests a minute: wait {wait} s."
            raise Refusal(429, sentence, wait, sender=key.name)

    def _look(self) -> None:
        """Read the file where it has changed; what can't be read leaves the keys as they were."""
        if self._path is None or time.monotonic() < self._looked + _LOOK_S:
            return
        self._looked = time.monotonic()
        try:
            told = self._path.stat()
            state = (told.st_mtime_ns, told.st_ino)
            if state != self._state:
                self._keys, self._state = {key.sha256: key for key in read_keys(self._path)}, state
        except (OSError, MiradaError) as error:
            log("keys not read again", 40, error=str(error))


def scope_of(path: str) -> str | None:
    """The scope that a path needs; None: any key will do."""
    if path == "/metrics" or path == "/v1/models/reload":
        return "admin"
    if path == "/v1/jobs" or path.startswith("/v1/jobs/"):
        return "jobs"
    return "predict" if path == "/v1/predict" else None
