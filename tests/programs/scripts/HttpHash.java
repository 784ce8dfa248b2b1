import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.concurrent.Executors;

/** A server that answers POST with the body's SHA-256 and GET with a pong. Arguments: HOST PORT. */
public class HttpHash {
  public static void main(String[] arguments) throws IOException {
    HttpServer server = HttpServer.create(new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1])), 500);
    server.createContext("/", HttpHash::answer);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.start();
  }

  static void answer(HttpExchange exchange) throws IOException {
    String text = "pong\n";
    if (exchange.getRequestMethod().equals("POST")) {
      try (InputStream body = exchange.getRequestBody()) {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        byte[] block = new byte[65536];
        for (int size; (size = body.read(block)) > 0;) digest.update(block, 0, size);
        text = HexFormat.of().formatHex(digest.digest()) + "\n";
      } catch (java.security.NoSuchAlgorithmException impossible) {
        throw new IOException(impossible);
      }
    }
    exchange.sendResponseHeaders(200, text.length());
    exchange.getResponseBody().write(text.getBytes());
    exchange.close();
  }
}
