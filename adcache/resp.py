"""How many bytes a command and its reply take in the Redis protocol (RESP2)."""

from typing import Any

ANSWER_OK = frozenset({"SET", "HMSET", "MSET", "RENAME", "LTRIM", "PSETEX", "SETEX"})


def command_size(words: Any) -> int:
    """Bytes of a command: an array of bulk strings.

    >>> command_size(["GET", "key"])  # *2 $3 GET $3 key, each ended by CR LF
    22
    """
    return head_size(len(words)) + sum(bulk_size(word) for word in words)


def reply_size(name: str, reply: Any) -> int:
    """Bytes of the reply to the command `name`, also if redis-py unpacked it."""
    if reply is None:
        return len("$-1\r\n")
    if reply == "OK" or (reply is True and name in ANSWER_OK):
        return len("+OK\r\n")
    if isinstance(reply, int):
        return len(f":{int(reply)}\r\n")
    if isinstance(reply, dict):
        reply = [part for pair in reply.items() for part in pair]
    if isinstance(reply, list | tuple | set):
        return head_size(len(reply)) + sum(reply_size(name, part) for part in reply)
    return bulk_size(reply)


def head_size(count: int) -> int:
    """Bytes of an array's head."""
    return len(f"*{count}\r\n")


def bulk_size(word: Any) -> int:
    """Bytes of one string with its length before it."""
    size = len(word) if isinstance(word, bytes) else len(str(word).encode())
    return len(f"${size}\r\n") + size + len("\r\n")
