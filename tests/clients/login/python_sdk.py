"""The official Python SDK with its own OAuth client. Steps and lines: steps.py.

After a login that failed this SDK's connection is of no use, so a call that fails is tried again on a new one.
"""

import asyncio
import contextlib
import importlib.metadata
import warnings

import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from steps import ORDER, Redirects, Steps, emit, text

warnings.simplefilter("ignore")


class Storage:
    tokens = client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        emit(event="tokens_saved")
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


class PythonSdk:
    name = "Python SDK"
    version = importlib.metadata.version("mcp")

    def __init__(self):
        self.redirects, self.stack, self.client = Redirects(), contextlib.AsyncExitStack(), None
        metadata = OAuthClientMetadata(
            client_name=self.name,
            redirect_uris=[f"http://127.0.0.1:{ORDER['port']}/callback"],
            token_endpoint_auth_method="none",
        )
        self.auth = OAuthClientProvider(
            ORDER["url"], metadata, Storage(), redirect_handler=self.redirect, callback_handler=self.callback
        )

    async def redirect(self, url):
        emit(event="login_wanted", url=url)

    async def callback(self):
        query = await self.redirects.come.get()
        emit(event="logged_in")
        return AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss"))

    async def connect(self):
        if self.client is None:
            await self.redirects.listen()
        timeout = httpx2.Timeout(60, read=300)
        http = httpx2.AsyncClient(auth=self.auth, timeout=timeout, trust_env=False)
        await self.stack.enter_async_context(http)
        client = Client(streamable_http_client(ORDER["url"], http_client=http), mode=ORDER.get("mode", "auto"))
        self.client = await self.stack.enter_async_context(client)

    async def tools(self):
        return len((await self.client.list_tools()).tools)

    async def call(self, name, arguments):
        return text(await self.client.call_tool(name, arguments))


asyncio.run(Steps(PythonSdk()).take_all())
