"""FastMCP's client with its own OAuth client, which opens the browser and listens by itself. Steps and lines: steps.py."""

import asyncio
import contextlib
import importlib.metadata
import warnings
import webbrowser

from fastmcp import Client
from fastmcp.client.auth import OAuth

from steps import ORDER, Steps, emit

warnings.simplefilter("ignore")


class Browser(webbrowser.BaseBrowser):
    """Reports the address instead of opening it."""

    def open(self, url, new=0, autoraise=True):
        emit(event="login_wanted", url=url)
        return True


webbrowser.register("reported", None, Browser(), preferred=True)


class FastMcp:
    name = "FastMCP"
    version = importlib.metadata.version("fastmcp")

    def __init__(self):
        self.client = Client(ORDER["url"], auth=OAuth(client_name=self.name, callback_port=ORDER["port"]))
        self.stack = contextlib.AsyncExitStack()

    async def connect(self):
        await self.stack.enter_async_context(self.client)

    async def tools(self):
        return len(await self.client.list_tools())

    async def call(self, name, arguments):
        result = await self.client.call_tool(name, arguments)
        return " ".join(getattr(part, "text", part.type) for part in result.content)


asyncio.run(Steps(FastMcp()).take_all())
