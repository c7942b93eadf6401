import com.fasterxml.jackson.core.JsonFactory;
import java.io.IOException;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** The gray job on Flink's DataStream API, in a local mini-cluster. Settings are environment variables (see ../README.md). */
public class GrayFlink {
    public static class Parse implements DeserializationSchema<Gray.Message> {
        transient JsonFactory json;

        @Override public void open(InitializationContext context) { json = new JsonFactory(); }

        @Override public Gray.Message deserialize(byte[] value) throws IOException { return Gray.parse(json, value); }

        @Override public boolean isEndOfStream(Gray.Message m) { return false; }

        @Override public TypeInformation<Gray.Message> getProducedType() { return TypeInformation.of(Gray.Message.class); }
    }

    public static class Count extends KeyedProcessFunction<String, Gray.Message, String> {
        transient ValueState<Gray.State> state;

        @Override public void open(OpenContext context) {
            state = getRuntimeContext().getState(new ValueStateDescriptor<>("gray", Gray.State.class));
        }

        @Override public void processElement(Gray.Message m, Context context, Collector<String> out) throws Exception {
            long n = Gray.begun();
            Gray.State s = state.value();
            if (s == null) s = new Gray.State();
            String event = s.step(m);
            if (event != null) out.collect(event);
            state.update(s);
            Gray.done(n);
        }
    }

    public static void main(String[] args) throws Exception {
        String broker = Gray.env("BROKER", "127.0.0.1:9092");
        Configuration config = new Configuration();
        config.setString("state.backend.type", "hashmap");
        config.setString("execution.checkpointing.dir", Gray.env("CHECKPOINT_DIR",
            "file://" + System.getProperty("java.io.tmpdir") + "/gray-flink"));
        for (var e : System.getenv().entrySet())   // FLINK_pipeline_object___reuse=true -> pipeline.object-reuse=true
            if (e.getKey().startsWith("FLINK_"))
                config.setString(e.getKey().substring(6).replace("___", "-").replace('_', '.'), e.getValue());
        var env = StreamExecutionEnvironment.createLocalEnvironment(Integer.parseInt(Gray.env("PARALLELISM", "2")), config);
        env.enableCheckpointing(Long.parseLong(Gray.env("CHECKPOINT_MS", "10000")));
        var source = KafkaSource.<Gray.Message>builder()
            .setBootstrapServers(broker)
            .setTopics(Gray.env("TOPIC", "mr"))
            .setGroupId(Gray.env("APP_ID", "gray-flink-" + System.currentTimeMillis()))
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setBounded(OffsetsInitializer.latest())
            .setValueOnlyDeserializer(new Parse())
            .setProperty("fetch.max.wait.ms", Gray.env("FETCH_MAX_WAIT_MS", "500"))
            .build();
        var sink = KafkaSink.<String>builder()
            .setBootstrapServers(broker)
            .setDeliveryGuarantee(DeliveryGuarantee.valueOf(Gray.env("SINK", "at_least_once").toUpperCase()))
            .setTransactionalIdPrefix(Gray.env("APP_ID", "gray-flink"))
            .setProperty("transaction.timeout.ms", "60000")   // the broker's default limit is below the sink's own default
            .setRecordSerializer(KafkaRecordSerializationSchema.<String>builder()
                .setTopic(Gray.env("OUT", "gray-flink")).setValueSerializationSchema(new SimpleStringSchema()).build())
            .build();
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "mr")
            .keyBy(m -> m.sender)
            .process(new Count())
            .sinkTo(sink);
        env.execute("gray");
        Gray.report();
        System.exit(0);
    }
}
