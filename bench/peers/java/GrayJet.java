import com.fasterxml.jackson.core.JsonFactory;
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
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;

/** The gray job on Hazelcast Jet's core API, one member alone. Settings are environment variables (see ../__init__.py). */
public class GrayJet {
    static final JsonFactory JSON = new JsonFactory();

    static Gray.Message parse(ConsumerRecord<byte[], byte[]> record) {
        try {
            return Gray.parse(JSON, record.value());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A state as a snapshot holds it. */
    static byte[] bytes(Gray.State s) {
        ByteBuffer b = ByteBuffer.allocate(33 + 240).putLong(s.last).putLong(s.head).putDouble(s.sh).putDouble(s.lo);
        b.put((byte) (s.blocked ? 1 : 0));
        for (int c : s.ring) b.putInt(c);
        return b.array();
    }

    static Gray.State state(byte[] bytes) {
        ByteBuffer b = ByteBuffer.wrap(bytes);
        Gray.State s = new Gray.State();
        s.last = b.getLong();
        s.head = b.getLong();
        s.sh = b.getDouble();
        s.lo = b.getDouble();
        s.blocked = b.get() != 0;
        for (int i = 0; i < 60; i++) s.ring[i] = b.getInt();
        return s;
    }

    /** All states of its share of the senders; a snapshot has all of them. */
    static final class Count extends AbstractProcessor {
        private final Map<String, Gray.State> states = new HashMap<>();
        private Iterator<Map.Entry<String, Gray.State>> saving;
        private Map.Entry<String, byte[]> unsaved;
        private String blocked;                                  // an event that the outbox had no room for

        @Override protected boolean tryProcess(int ordinal, Object item) {
            if (blocked != null) {
                if (!tryEmit(blocked)) return false;
                blocked = null;
                return true;
            }
            Gray.Message m = (Gray.Message) item;
            long n = Gray.begun();
            String event = states.computeIfAbsent(m.sender, k -> new Gray.State()).step(m);
            Gray.done(n);
            if (event == null || tryEmit(event)) return true;
            blocked = event;
            return false;
        }

        @Override public boolean saveToSnapshot() {
            if (saving == null) saving = states.entrySet().iterator();
            while (unsaved != null || saving.hasNext()) {
                if (unsaved == null) {
                    var one = saving.next();
                    unsaved = Map.entry(one.getKey(), bytes(one.getValue()));
                }
                if (!tryEmitToSnapshot(unsaved.getKey(), unsaved.getValue())) return false;
                unsaved = null;
            }
            saving = null;
            return true;
        }

        @Override protected void restoreFromSnapshot(Object key, Object value) {
            states.put((String) key, state((byte[]) value));
        }
    }

    static Properties client() {
        Properties p = new Properties();
        p.put("bootstrap.servers", Gray.env("BROKER", "127.0.0.1:9092"));
        return p;
    }

    public static void main(String[] args) throws Exception {
        int parallelism = Integer.parseInt(Gray.env("PARALLELISM", "2"));
        Properties reading = client(), writing = client();
        reading.put("auto.offset.reset", "earliest");
        reading.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        reading.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        reading.put("fetch.max.wait.ms", Gray.env("FETCH_MAX_WAIT_MS", "500"));
        writing.put("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        writing.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");

        DAG dag = new DAG();
        Vertex source = dag.newVertex("source", KafkaProcessors.<byte[], byte[], Gray.Message>streamKafkaP(
            reading, GrayJet::parse, EventTimePolicy.noEventTime(), Gray.env("TOPIC", "mr"))).localParallelism(parallelism);
        Vertex gray = dag.newVertex("gray", Count::new).localParallelism(parallelism);
        Vertex sink = dag.newVertex("sink", KafkaProcessors.<String, byte[], String>writeKafkaP(
            writing, Gray.env("OUT", "gray-jet"), event -> (byte[]) null, event -> event, true)).localParallelism(1);
        dag.edge(Edge.between(source, gray).<Gray.Message>partitioned(m -> m.sender));
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
            .setProcessingGuarantee(ProcessingGuarantee.valueOf(Gray.env("GUARANTEE", "exactly_once").toUpperCase()))
            .setSnapshotIntervalMillis(Long.parseLong(Gray.env("CHECKPOINT_MS", "1000"))));
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
        Gray.finished.await();
        job.suspend();                                           // ends in a snapshot, with which the sink commits
        while (job.getStatus() != JobStatus.SUSPENDED) Thread.sleep(50);
        Gray.report();
        Runtime.getRuntime().halt(0);
    }
}
