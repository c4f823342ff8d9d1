import asyncio

waited = []


async def wait_for(how_long):
    """Takes no time, and has the others go first."""
    waited.append(how_long)
    await asyncio.sleep(0)
