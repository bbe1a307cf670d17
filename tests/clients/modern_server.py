"""An MCP server of the official Python SDK on 127.0.0.1, for the style of 2026-07-28 and for the older ones.

    python3 modern_server.py PORT
"""

import asyncio
import sys

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("modern")


@server.tool()
def echo(message: str) -> str:
    """Says the text again."""
    return f"Echo: {message}"


@server.tool()
async def slow(duration: float, steps: int, context: Context) -> str:
    """Takes its time, and reports progress."""
    for step in range(1, steps + 1):
        await asyncio.sleep(duration / steps)
        await context.report_progress(step, steps)
    return f"done after {steps} steps"


@server.tool()
async def touch(context: Context) -> str:
    """Notifies every listener that the list of tools has changed, which it has not."""
    await context.notify_tools_changed()
    return "touched"


uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
