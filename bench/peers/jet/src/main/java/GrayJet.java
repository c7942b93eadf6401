import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.hazelcast.config.Config;
import com.hazelcast.core.Hazelcast;
import com.hazelcast.jet.Job;
import com.hazelcast.jet.config.JobConfig;
import com.hazelcast.jet.config.ProcessingGuarantee;
import com.hazelcast.jet.core.AbstractProcessor;
import com.hazelcast.jet.core.DAG;
import com.hazelcast.jet.core.Edge;
import com.hazelcast.jet.core.EventTimePolicy;
import com.hazelcast.jet.core.JobStatus;
import com.hazelcast.jet.core.Vertex;
import com.hazelcast.jet.kafka.KafkaProcessors;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** The gray job on Hazelcast Jet's core API, one member alone. Settings are environment variables (see ../__init__.py). */
public class GrayJet {
    static final AtomicLong seen = new AtomicLong(), events = new AtomicLong();
    static final CountDownLatch finished = new CountDownLatch(1);
    static final long N = Long.parseLong(env("N", "1000000"));
    static final JsonFactory JSON = new JsonFactory();
    static volatile long first, half, last;

    /** A message, reduced to what the job needs. It never leaves the process. */
    static final class Message {
        String sender;
        long ts;
    }

    static Message parse(ConsumerRecord<byte[], byte[]> record) {
        Message m = new Message();
        try (JsonParser p = JSON.createParser(record.value())) {
            p.nextToken();
            while (p.nextToken() == JsonToken.FIELD_NAME) {
                String field = p.currentName();
                p.nextToken();
                if (field.equals("ts")) m.ts = p.getLongValue();
                else if (field.equals("sender")) m.sender = p.getText();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return m;
    }

    static final class State {
        long last, head;
        double sh, lo;
        boolean blocked;
        final int[] ring = new int[60];

        byte[] bytes() {
            ByteBuffer b = ByteBuffer.allocate(33 + 240).putLong(last).putLong(head).putDouble(sh).putDouble(lo);
            b.put((byte) (blocked ? 1 : 0));
            for (int c : ring) b.putInt(c);
            return b.array();
        }

        static State of(byte[] bytes) {
            ByteBuffer b = ByteBuffer.wrap(bytes);
            State s = new State();
            s.last = b.getLong();
            s.head = b.getLong();
            s.sh = b.getDouble();
            s.lo = b.getDouble();
            s.blocked = b.get() != 0;
            for (int i = 0; i < 60; i++) s.ring[i] = b.getInt();
            return s;
        }
    }

    /** All states of its share of the senders; a snapshot has all of them. */
    static final class Gray extends AbstractProcessor {
        private final Map<String, State> states = new HashMap<>();
        private Iterator<Map.Entry<String, State>> saving;
        private Map.Entry<String, byte[]> unsaved;
        private String blocked;                                  // an event that the outbox had no room for

        @Override protected boolean tryProcess(int ordinal, Object item) {
            if (blocked != null) {
                if (!tryEmit(blocked)) return false;
                blocked = null;
                return true;
            }
            Message m = (Message) item;
            long n = seen.incrementAndGet();
            if (n == 1) first = System.nanoTime();
            if (n == N / 2) half = System.nanoTime();
            State s = states.computeIfAbsent(m.sender, k -> new State());
            long second = m.ts / 1000;
            if (second > s.head) {
                for (long b = Math.max(s.head + 1, second - 59); b <= second; b++) s.ring[(int) (b % 60)] = 0;
                s.head = second;
            }
            if (second > s.head - 60) s.ring[(int) (second % 60)]++;
            int count = 0;
            for (int c : s.ring) count += c;
            double dt = s.last == 0 ? 0 : Math.max(0, m.ts - s.last) / 1000.0;
            s.sh = s.sh * Math.exp(-dt / 60) + 1;
            s.lo = s.lo * Math.exp(-dt / 3600) + 1;
            s.last = Math.max(s.last, m.ts);
            String event = null;
            if (count >= 100 && !s.blocked) {
                s.blocked = true;
                events.incrementAndGet();
                event = "{\"number\":\"" + m.sender + "\",\"ts\":" + m.ts + ",\"count\":" + count
                    + ",\"short\":" + s.sh + ",\"long\":" + s.lo + "}";
            }
            if (n == N) {
                last = System.nanoTime();
                finished.countDown();
            }
            if (event == null || tryEmit(event)) return true;
            blocked = event;
            return false;
        }

        @Override public boolean saveToSnapshot() {
            if (saving == null) saving = states.entrySet().iterator();
            while (unsaved != null || saving.hasNext()) {
                if (unsaved == null) {
                    var one = saving.next();
                    unsaved = Map.entry(one.getKey(), one.getValue().bytes());
                }
                if (!tryEmitToSnapshot(unsaved.getKey(), unsaved.getValue())) return false;
                unsaved = null;
            }
            saving = null;
            return true;
        }

        @Override protected void restoreFromSnapshot(Object key, Object value) {
            states.put((String) key, State.of((byte[]) value));
        }
    }

    static String env(String name, String otherwise) { return System.getenv().getOrDefault(name, otherwise); }

    static Properties client() {
        Properties p = new Properties();
        p.put("bootstrap.servers", env("BROKER", "127.0.0.1:9092"));
        return p;
    }

    public static void main(String[] args) throws Exception {
        int parallelism = Integer.parseInt(env("PARALLELISM", "2"));
        Properties reading = client(), writing = client();
        reading.put("auto.offset.reset", "earliest");
        reading.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        reading.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        reading.put("fetch.max.wait.ms", env("FETCH_MAX_WAIT_MS", "500"));
        writing.put("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        writing.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");

        DAG dag = new DAG();
        Vertex source = dag.newVertex("source", KafkaProcessors.<byte[], byte[], Message>streamKafkaP(
            reading, GrayJet::parse, EventTimePolicy.noEventTime(), env("TOPIC", "mr"))).localParallelism(parallelism);
        Vertex gray = dag.newVertex("gray", Gray::new).localParallelism(parallelism);
        Vertex sink = dag.newVertex("sink", KafkaProcessors.<String, byte[], String>writeKafkaP(
            writing, env("OUT", "gray-jet"), event -> (byte[]) null, event -> event, true)).localParallelism(1);
        dag.edge(Edge.between(source, gray).<Message>partitioned(m -> m.sender));
        dag.edge(Edge.between(gray, sink));

        Config config = new Config();
        config.setProperty("hazelcast.logging.type", "slf4j");
        config.setProperty("hazelcast.phone.home.enabled", "false");
        config.getJetConfig().setEnabled(true).setCooperativeThreadCount(parallelism);
        config.getNetworkConfig().getInterfaces().setEnabled(true).addInterface("127.0.0.1");
        config.getNetworkConfig().getJoin().getAutoDetectionConfig().setEnabled(false);
        config.getNetworkConfig().getJoin().getMulticastConfig().setEnabled(false);
        var member = Hazelcast.newHazelcastInstance(config);
        Job job = member.getJet().newJob(dag, new JobConfig()
            .setProcessingGuarantee(ProcessingGuarantee.valueOf(env("GUARANTEE", "exactly_once").toUpperCase()))
            .setSnapshotIntervalMillis(Long.parseLong(env("CHECKPOINT_MS", "1000"))));
        Thread watch = new Thread(() -> {
            try {
                job.join();
            } catch (Throwable e) {
                e.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        });
        watch.setDaemon(true);
        watch.start();
        finished.await();
        job.suspend();                                           // ends in a snapshot, with which the sink commits
        while (job.getStatus() != JobStatus.SUSPENDED) Thread.sleep(50);
        System.out.printf("RESULT {\"n\": %d, \"seen\": %d, \"rate\": %.0f, \"second_half\": %.0f, \"events\": %d}%n",
            N, seen.get(), N * 1e9 / (last - first), (N - N / 2) * 1e9 / (last - half), events.get());
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
