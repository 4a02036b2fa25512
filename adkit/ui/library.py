"""What the page's library is kept from: to read files that nobody uploaded, and to fetch addresses."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.blocks import Block


def confine(page: gr.Blocks) -> None:
    """Lets an upload be nothing but a file that was uploaded; a browser could else name any file, or an address.

    The library looks at what is named only once it has launched a page itself, and does not think of one that is
    part of another application as launched.
    """
    page.has_launched = True
    Block.async_move_resource_to_block_cache = _uploaded  # type: ignore[method-assign, assignment]


_original: Any = Block.async_move_resource_to_block_cache


async def _uploaded(block: Block, named: str | None) -> str | None:
    if named is not None and "://" in str(named)[:12]:
        raise gr.Error("only files that are uploaded are read", print_exception=False)
    kept: str | None = await _original(block, named)
    return kept
