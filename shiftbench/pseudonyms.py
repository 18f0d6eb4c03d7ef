"""Pseudonyms of people and files, keyed by a secret that stays with the user."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from shiftbench.errors import ConfigurationError, StorageError

__all__ = ["Key", "default_key_file", "open_key"]

_LENGTH = 20  # hex digits, 80 bits: no two names of any real collection are alike


@dataclass(frozen=True)
class Key:
    """A secret, and what is made with it.

    Without the secret a pseudonym cannot be had from the name, not even by trying every name.
    """

    secret: bytes = field(repr=False)

    def name(self, kind: str, original: str) -> str:
        """The pseudonym of something, the same each time.

        Parameters
        ----------
        kind : str
            What it is, so that a patient and a file of one name have two pseudonyms.
        original : str

        Examples
        --------
        >>> key = Key(b"0" * 32)
        >>> key.name("patient", "4711") == key.name("patient", "4711")
        True
        >>> len(key.name("patient", "4711")), key.name("patient", "4711")[:4].isalnum()
        (20, True)
        """
        try:
            content = original.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # half a character, which JSON can hold
            content = original.encode("utf-8", "surrogatepass")
        return self.digest(kind, content)[:_LENGTH]

    def digest(self, kind: str, content: bytes) -> str:
        """HMAC-SHA256 (hex) of some bytes."""
        return hmac.new(self.secret, kind.encode() + b"\x1f" + content, hashlib.sha256).hexdigest()

    @property
    def fingerprint(self) -> str:
        """What tells this key from another without giving it away."""
        return self.digest("fingerprint", b"")[:_LENGTH]


def default_key_file() -> Path:
    """Where the key is kept unless another file is named.

    ``$SHIFTBENCH_KEY_FILE``, else ``shiftbench/pseudonyms.key`` in the user's configuration folder.
    """
    named = os.environ.get("SHIFTBENCH_KEY_FILE")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "shiftbench" / "pseudonyms.key"


def open_key(path: str | None = None) -> Key:
    """Read the key file; where there is none it is made, once, and its path is told on stderr.

    Raises
    ------
    ConfigurationError
        The file holds no key.
    StorageError
        It cannot be read or made.

    Examples
    --------
    >>> import tempfile
    >>> file = str(Path(tempfile.mkdtemp()) / "my.key")
    >>> open_key(file) == open_key(file)
    True
    """
    file = Path(path) if path else default_key_file()
    try:
        if not file.exists():
            _make(file)
        text = file.read_text("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise StorageError(
            f"the key file {str(file)!r} cannot be read or made ({error.strerror or error}); name "
            "another with --key-file"
        ) from error
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ConfigurationError(
            f"{str(file)!r} holds no key for pseudonyms (64 hexadecimal digits on one line); name "
            "the file that does with --key-file, or a new one, which is then made"
        )
    return Key(bytes.fromhex(text))


def _make(file: Path) -> None:
    """Write a new key under another name first: two processes then agree on one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secrets.token_hex(32) + "\n")
    try:
        with suppress(FileExistsError):
            os.link(beside, file)
            print(
                f"shiftbench: made the key file {file}; pseudonyms of patients and radiographs are "
                "made with it: keep it, keep it secret, and use it again for the same pseudonyms",
                file=sys.stderr,
            )
    finally:
        beside.unlink()
