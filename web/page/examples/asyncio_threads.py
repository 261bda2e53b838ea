import asyncio
import time

def blocking(name):
    time.sleep(0.3)
    return f"{name} blocked its thread only"

async def ticking():
    for i in range(3):
        print("tick", i)
        await asyncio.sleep(0.05)

async def main():
    results = await asyncio.gather(
        asyncio.to_thread(blocking, "first"), asyncio.to_thread(blocking, "second"), ticking()
    )
    print(*results[:2], sep="\n")

asyncio.run(main())
