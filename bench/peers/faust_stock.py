"""The gray job on stock Faust: an agent and a Table of plain tuples, memory store, changelog on."""

import os
import time

import faust
from gray import BROKER, TOPIC, Watch, step

app = faust.App(
    os.environ.get("APP_ID", f"gray-faust-{int(time.time())}"),
    broker=f"kafka://{BROKER}",
    store="memory://",
    topic_partitions=int(os.environ.get("PARTITIONS", "4")),
    topic_disable_leader=True,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    broker_max_poll_records=10000,
    datadir=os.environ.get("STATE_DIR", "state"),
)
source = app.topic(TOPIC, key_type=str, key_serializer="raw", value_serializer="json")
blocks = app.topic(os.environ.get("OUT", "gray-faust"), value_serializer="json")
gray = app.Table("gray")
watch = Watch()


@app.agent(source)
async def count(stream):
    async for message in stream:
        sender = message["sender"]
        gray[sender], event = step(gray.get(sender), sender, message["ts"])
        if event is not None:
            await blocks.send(key=sender, value=event)
        if watch.tick(event):
            await app.producer.flush()
            watch.report()
            os._exit(0)


if __name__ == "__main__":
    app.main()
