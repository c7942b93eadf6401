import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;

/** The gray job itself, on plain objects, and its stopwatch. Processors that keep states as objects run it. */
public class Gray {
    static final long N = Long.parseLong(env("N", "1000000"));
    static final AtomicLong seen = new AtomicLong(), events = new AtomicLong();
    static final CountDownLatch finished = new CountDownLatch(1);
    static volatile long first, half, last;

    /** A message, reduced to what the job needs (public, so that it is a Flink POJO). */
    public static class Message {
        public String sender;
        public long ts;
    }

    /** One sender's state (public, so that it is a Flink POJO and is checkpointed without Kryo). */
    public static class State {
        public long last, head;
        public double sh, lo;
        public boolean blocked;
        public int[] ring = new int[60];

        /** Counts a message; returns the block event that it leads to, or null. */
        String step(Message m) {
            long second = m.ts / 1000;
            if (second > head) {
                for (long b = Math.max(head + 1, second - 59); b <= second; b++) ring[(int) (b % 60)] = 0;
                head = second;
            }
            if (second > head - 60) ring[(int) (second % 60)]++;
            int count = 0;
            for (int c : ring) count += c;
            double dt = last == 0 ? 0 : Math.max(0, m.ts - last) / 1000.0;
            sh = sh * Math.exp(-dt / 60) + 1;
            lo = lo * Math.exp(-dt / 3600) + 1;
            last = Math.max(last, m.ts);
            if (count < 100 || blocked) return null;
            blocked = true;
            events.incrementAndGet();
            return "{\"number\":\"" + m.sender + "\",\"ts\":" + m.ts + ",\"count\":" + count
                + ",\"short\":" + sh + ",\"long\":" + lo + "}";
        }
    }

    static String env(String name, String otherwise) { return System.getenv().getOrDefault(name, otherwise); }

    static Message parse(JsonFactory json, byte[] value) throws IOException {
        Message m = new Message();
        try (JsonParser p = json.createParser(value)) {
            p.nextToken();
            while (p.nextToken() == JsonToken.FIELD_NAME) {
                String field = p.currentName();
                p.nextToken();
                if (field.equals("ts")) m.ts = p.getLongValue();
                else if (field.equals("sender")) m.sender = p.getText();
            }
        }
        return m;
    }

    /** Notes that one more message is about to be counted; returns how many that makes. */
    static long begun() {
        long n = seen.incrementAndGet();
        if (n == 1) first = System.nanoTime();
        if (n == N / 2) half = System.nanoTime();
        return n;
    }

    /** Notes that the n-th has been counted. */
    static void done(long n) {
        if (n != N) return;
        last = System.nanoTime();
        finished.countDown();
    }

    static void report() {
        System.out.printf("RESULT {\"n\": %d, \"seen\": %d, \"rate\": %.0f, \"second_half\": %.0f, \"events\": %d}%n",
            N, seen.get(), N * 1e9 / (last - first), (N - N / 2) * 1e9 / (last - half), events.get());
        System.out.flush();
    }
}
