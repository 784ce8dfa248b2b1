import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** A client of nginx: a large file, then many requests, 50 at once. Argument: the URL before the path. */
public class HttpFetch {
  public static void main(String[] arguments) throws Exception {
    HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    byte[] large = client.send(request(arguments[0] + "/large"), BodyHandlers.ofByteArray()).body();
    System.out.println("large " + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(large)));
    long pongs = 0;
    for (int round = 0; round < 10; ++round) {
      Stream<CompletableFuture<HttpResponse<String>>> answers = IntStream.range(0, 50).mapToObj(
          number -> client.sendAsync(request(arguments[0] + "/ping"), BodyHandlers.ofString())).toList().stream();
      pongs += answers.filter(answer -> answer.join().body().equals("pong\n")).count();
    }
    System.out.println("pongs " + pongs);
    System.exit(0);
  }

  static HttpRequest request(String url) {
    return HttpRequest.newBuilder(URI.create(url)).build();
  }
}
