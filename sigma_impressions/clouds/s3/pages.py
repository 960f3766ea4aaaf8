"""The entries of a page of a listing, without the SDK's parser, which takes most of the time of a long listing."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

from botocore.utils import parse_timestamp

from sigma_impressions.clouds.objects import MALFORMED

_ANSWER = "before-parse.s3.ListObjectsV2"
"""The SDK's event of an answer to a listing that is about to be parsed."""

_CONTENTS = "Contents"


def read_entries_quickly(client: Any) -> None:
    """Have a boto3 client read the entries of listings here, with no more than an `S3Store` asks for."""
    # First, as the SDK itself looks into the whole answer there, in case that it is an error.
    client.meta.events.register_first(_ANSWER, _take_entries, unique_id=_ANSWER)


def _take_entries(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Take the entries out of an answer, for the SDK to read the rest; one of another form is left to it as it is."""
    if response_dict["status_code"] != 200:
        return
    try:
        root = ElementTree.fromstring(response_dict["body"], ElementTree.XMLParser(encoding="utf-8"))
        space = root.tag[: root.tag.find("}") + 1]
        found = [node for node in root if node.tag.rpartition("}")[2] == _CONTENTS]
        entries = [_entry(node, space) for node in found]
    except (ElementTree.ParseError, *MALFORMED):
        return
    if entries:
        for node in found:
            root.remove(node)
        # Written as it is, it would be read as a line feed.
        response_dict["body"] = ElementTree.tostring(root).replace(b"\r", b"&#13;")
        customized_response_dict[_CONTENTS] = entries


def _entry(node: ElementTree.Element, space: str) -> dict[str, Any]:
    """What the SDK makes of an entry, as far as it is certain. Raises one of MALFORMED otherwise."""
    texts = {child.tag: child.text or "" for child in node}
    if node.tag != space + _CONTENTS:
        raise ValueError("its namespace is another one")
    if len(texts) != len(node):
        raise ValueError("something is there twice")
    return {name: read(texts[space + name]) for name, read in _READ.items()}


@contextmanager
def collections_paused() -> Iterator[None]:
    """Inside, Python does not look for garbage that refers to itself: most of what there is then is needed."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Who came while another thread had paused them leaves it to that one.
        if enabled:
            gc.enable()


def parse_time(value: Any) -> datetime:
    """A time in an answer of S3: quickly in the form of listings, otherwise as the SDK does."""
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found
    except (TypeError, ValueError):
        pass
    parsed: datetime = parse_timestamp(value)
    return parsed


_READ: Mapping[str, Callable[[str], Any]] = {"Key": str, "LastModified": parse_time, "ETag": str, "Size": int}
"""What is read of an entry, and how."""
