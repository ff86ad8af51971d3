// The peer: Debezium's embedded engine, whose handler only counts. The time runs from the first event to the last, so
// that starting a JVM is not held against it.
//
// usage: java CountEvents NAME=VALUE…, with the names host, port, database, slot, publication, tables, events.
//
// Settings are the ones a person who wants throughput would choose: JSON without schemas, large batches, a short poll, offsets in
// memory. What is not named here is Debezium's default, and so is the JVM's heap.

import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

public final class CountEvents implements DebeziumEngine.ChangeConsumer<ChangeEvent<String, String>> {
    /** No workload takes a tenth of this; a slot that holds fewer events than were asked for must not hang the bench. */
    private static final long WAIT_MINUTES_MAX = 20;

    private final long expected;
    private final CountDownLatch complete = new CountDownLatch(1);
    private long events;
    private long bytes;
    private long firstNanos;
    private long lastNanos;

    private CountEvents(long expected) {
        this.expected = expected;
    }

    @Override
    public void handleBatch(
            List<ChangeEvent<String, String>> batch,
            DebeziumEngine.RecordCommitter<ChangeEvent<String, String>> committer) throws InterruptedException {
        if (events == 0) {
            firstNanos = System.nanoTime();
        }
        for (ChangeEvent<String, String> event : batch) {
            // The converted text is looked at, so that nothing of it can be left out as unused.
            bytes += event.value().length();
            committer.markProcessed(event);
        }
        committer.markBatchFinished();
        events += batch.size();
        if (events >= expected) {
            lastNanos = System.nanoTime();
            complete.countDown();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> settings = new HashMap<>();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            settings.put(parts[0], parts[1]);
        }
        Properties properties = new Properties();
        properties.setProperty("name", "bench");
        properties.setProperty("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
        properties.setProperty("topic.prefix", "bench");
        properties.setProperty("database.hostname", settings.get("host"));
        properties.setProperty("database.port", settings.get("port"));
        properties.setProperty("database.user", "postgres");
        properties.setProperty("database.password", "unused");
        properties.setProperty("database.dbname", settings.get("database"));
        properties.setProperty("plugin.name", "pgoutput");
        properties.setProperty("slot.name", settings.get("slot"));
        properties.setProperty("publication.name", settings.get("publication"));
        properties.setProperty("publication.autocreate.mode", "disabled");
        properties.setProperty("table.include.list", settings.get("tables"));
        // From where the slot stands, without reading any table.
        properties.setProperty("snapshot.mode", "no_data");
        properties.setProperty("tombstones.on.delete", "false");
        properties.setProperty("provide.transaction.metadata", "false");
        properties.setProperty("max.batch.size", "16384");
        properties.setProperty("max.queue.size", "65536");
        properties.setProperty("poll.interval.ms", "10");
        properties.setProperty("offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore");
        properties.setProperty("offset.flush.interval.ms", "1000");
        properties.setProperty("key.converter.schemas.enable", "false");
        properties.setProperty("value.converter.schemas.enable", "false");

        CountEvents counter = new CountEvents(Long.parseLong(settings.get("events")));
        AtomicReference<String> failure = new AtomicReference<>();
        DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class)
                .using(properties)
                .using((success, message, error) -> {
                    if (!success) {
                        failure.set(message + (error == null ? "" : ": " + error));
                        counter.complete.countDown();
                    }
                })
                .notifying(counter)
                .build();
        Thread thread = new Thread(engine, "engine");
        thread.start();
        boolean ended = counter.complete.await(WAIT_MINUTES_MAX, TimeUnit.MINUTES);
        if (!ended || failure.get() != null) {
            System.err.println(ended ? failure.get() : "only " + counter.events + " events arrived");
            Runtime.getRuntime().halt(1);
        }
        System.out.printf(
                "events=%d bytes=%d millis=%d%n",
                counter.events, counter.bytes, (counter.lastNanos - counter.firstNanos) / 1_000_000);
        System.out.flush();
        // What counts is measured; closing the engine would wait for connections.
        Runtime.getRuntime().halt(0);
    }
}
