"""Drives the official Python MCP SDK through a list of steps and prints what happened, one JSON line each.

    python3 client.py '{"sdk":"python","url":"http://…/mcp","token":"…","session":"…","steps":[{"do":"tools"},…]}'

The SDK is on PYTHONPATH. A failed step is reported, and the next one follows.
"""

import asyncio
import contextlib
import json
import pathlib
import sys
import warnings

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

warnings.simplefilter("ignore")
REDIRECT = "http://127.0.0.1/callback"


def emit(**line):
    print(json.dumps(line), flush=True)


class Login:
    """What the SDK does with the user's login: it provides the token, and is called when the user must log in."""

    def __init__(self, token):
        self.token = token

    async def get_tokens(self):
        return OAuthToken(access_token=self.token, token_type="Bearer")

    async def set_tokens(self, tokens):
        emit(event="tokens_saved")

    async def get_client_info(self):
        return OAuthClientInformationFull(client_id="muster", redirect_uris=[REDIRECT])

    async def set_client_info(self, client_info):
        pass

    async def redirect(self, url):
        emit(event="login_wanted", at=url.split("?")[0])

    async def callback(self):
        raise OAuthFlowError("no user can log in here")


class Session:
    def __init__(self, order, client):
        self.order, self.client = order, client
        self.events = self.events_before_call = 0
        self.stack = contextlib.AsyncExitStack()
        self.tasks = []
        self.doing = "connect"

    async def seen(self, message):
        if isinstance(message, Exception):
            emit(event="error", message=str(message))
        else:
            self.events += 1

    async def connect(self, step):
        await self.stack.enter_async_context(self.client)
        return {"version": self.client.protocol_version}

    async def tools(self, step):
        return {"count": len((await self.client.list_tools()).tools)}

    async def call(self, step):
        # A call's own notification may come before its answer.
        self.events_before_call = self.events
        return text(await self.client.call_tool(step["name"], step.get("arguments", {})))

    async def long(self, step):
        progress = 0

        async def count(*_):
            nonlocal progress
            progress += 1

        result = await self.client.call_tool(step["name"], step["arguments"], progress_callback=count)
        return {"progress": progress, **text(result)}

    async def listen(self, step):
        subscription = await self.stack.enter_async_context(self.client.listen(tools_list_changed=True))

        async def count():
            async for _ in subscription:
                self.events += 1

        self.tasks.append(asyncio.create_task(count()))
        return {}

    async def idle(self, step):
        emit(event="idle")
        await asyncio.sleep(step["seconds"])
        return {}

    async def until(self, step):
        """Until there is a file of this name."""
        emit(event="idle")
        while not pathlib.Path(step["file"]).exists():
            await asyncio.sleep(0.1)
        return {}

    async def wait_for_events(self, step):
        """Until so many notifications more have come, since now or since the last call began."""
        enough = (self.events_before_call if step.get("since_call") else self.events) + step["count"]
        for _ in range(300):
            if self.events >= enough:
                return {"count": step["count"]}
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{step['count'] - (enough - self.events)} of {step['count']} notifications came")

    async def retry(self, step):
        """As a user does when trying again."""
        failures = 0
        while True:
            try:
                return {"failures": failures, **(await self.call(step))}
            except Exception:
                failures += 1
                if failures > 60:
                    raise
                await asyncio.sleep(0.5)

    async def do(self, step):
        self.doing = step["do"]
        name = "wait_for_events" if step["do"] == "events" else step["do"]
        try:
            emit(step=step["do"], ok=True, **(await getattr(self, name)(step)))
        except Exception as error:
            emit(step=step["do"], ok=False, error=type(error).__name__, message=reasons(error))


def text(result):
    if result.is_error:
        raise RuntimeError(f"the tool failed: {result.content}")
    return {"text": " ".join(getattr(part, "text", part.type) for part in result.content)}


def reasons(error):
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(reasons(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"


async def main(order):
    login = Login(order["token"])
    metadata = OAuthClientMetadata(client_name="tokenward tests", redirect_uris=[REDIRECT])
    auth = OAuthClientProvider(
        order["url"], metadata, login, redirect_handler=login.redirect, callback_handler=login.callback
    )
    headers = {"x-tokenward-session": order["session"]} if order.get("session") else {}
    timeout = httpx2.Timeout(60, read=300)
    async with httpx2.AsyncClient(auth=auth, headers=headers, timeout=timeout, trust_env=False) as http:
        session = Session(order, None)
        transport = streamable_http_client(order["url"], http_client=http)
        session.client = Client(transport, mode=order.get("mode", "auto"), message_handler=session.seen)
        try:
            async with session.stack:
                for step in [{"do": "connect"}, *order["steps"]]:
                    await session.do(step)
                for task in session.tasks:
                    task.cancel()
        except Exception as error:
            # A login that is refused ends this SDK's whole connection: no further step can be taken.
            emit(step=session.doing, ok=False, error=type(error).__name__, message=reasons(error))
        emit(step="end", ok=True, events=session.events)


asyncio.run(main(json.loads(sys.argv[1])))
