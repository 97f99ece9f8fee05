import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The JDK's own HttpClient as it comes: it offers HTTP/2 with every first request.
 *
 * <p>Argument "length" or "chunks": how the body is sent. What is judged is as in judge.py.
 */
public class HttpClientDefault {
  static final String[] DOCUMENTS = {
    "Bananas are a good source of potassium.",
    "量子计算是计算科学的一个前沿领域。",
    "Paris is the capital of France and its largest city.",
    "-",
  };
  static final int TOP_N = 3;
  static final int BEST = 2;

  public static void main(String[] arguments) throws Exception {
    boolean chunks = arguments[0].equals("chunks");
    String given = System.getenv("RERANKD_CLIENT");
    HttpClient client = HttpClient.newHttpClient();
    String base = field(given, "base");
    HttpResponse<String> right = call(client, given, base, field(given, "key"), chunks);
    String wrongWithRight = right.statusCode() == 200 ? judged(right.body()) : said(right);
    HttpResponse<String> wrong = call(client, given, base, field(given, "wrong_key"), chunks);
    String wrongWithWrong = wrong.statusCode() == 401 ? "" : said(wrong);
    String found = "\"right\":" + quoted(wrongWithRight) + ",\"wrong\":" + quoted(wrongWithWrong);
    System.out.println("{" + found + ",\"ends\":{" + scripted(client, given, chunks) + "}}");
  }

  /** How the calls of the scripted server ended, as the members of a JSON object. */
  static String scripted(HttpClient client, String given, boolean chunks) throws Exception {
    List<String> ends = new ArrayList<>();
    for (String script : field(given, "scripts").split(" ")) {
      if (script.isEmpty()) continue;
      String end;
      try {
        String key = field(given, "key") + "." + script;
        HttpResponse<String> answer = call(client, given, field(given, "scripted"), key, chunks);
        end = answer.statusCode() == 200 ? judged(answer.body()) : said(answer);
      } catch (IOException error) {
        end = error.toString();
      }
      ends.add(quoted(script) + ":" + quoted(end));
    }
    return String.join(",", ends);
  }

  static HttpResponse<String> call(
      HttpClient client, String given, String base, String key, boolean chunks) throws Exception {
    List<String> documents = new ArrayList<>();
    for (String document : DOCUMENTS) documents.add(quoted(document));
    String body =
        "{\"model\":" + quoted(field(given, "model"))
            + ",\"query\":\"What is the capital of France?\",\"top_n\":" + TOP_N
            + ",\"documents\":[" + String.join(",", documents) + "]}";
    byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
    HttpRequest.BodyPublisher sent = HttpRequest.BodyPublishers.ofByteArray(bytes);
    if (chunks) sent = HttpRequest.BodyPublishers.fromPublisher(sent); // of unknown length
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(base + "/v1/rerank"))
            .header("Content-Type", "application/json")
            .header("Authorization", "Bearer " + key)
            .POST(sent)
            .build();
    return client.send(request, HttpResponse.BodyHandlers.ofString());
  }

  /** Why an answer is not right; empty when it is. */
  static String judged(String body) {
    List<Integer> indices = new ArrayList<>();
    List<Double> scores = new ArrayList<>();
    Matcher hit = Pattern.compile("\"index\":(\\d+),\"relevance_score\":([-+.\\deE]+)").matcher(body);
    while (hit.find()) {
      indices.add(Integer.parseInt(hit.group(1)));
      scores.add(Double.parseDouble(hit.group(2)));
    }
    if (indices.size() != TOP_N || indices.stream().distinct().count() != TOP_N) return "results: " + body;
    for (int i = 1; i < TOP_N; i++) if (scores.get(i - 1) < scores.get(i)) return "not sorted: " + scores;
    if (indices.get(0) != BEST) return "best is not " + BEST;
    return scores.get(0) > scores.get(1) ? "" : "best is a tie: " + scores;
  }

  static String said(HttpResponse<String> answer) {
    return answer.statusCode() + " " + answer.body().substring(0, Math.min(300, answer.body().length()));
  }

  /** A string of the JSON object that run.py gives. */
  static String field(String json, String name) {
    Matcher found = Pattern.compile("\"" + name + "\": *\"([^\"]*)\"").matcher(json);
    if (!found.find()) throw new IllegalArgumentException(name);
    return found.group(1);
  }

  static String quoted(String text) {
    return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\s", " ") + "\"";
  }
}
