import java.math.BigDecimal;
import java.util.List;
import java.util.Objects;
import leads.ApiClient;
import leads.ApiException;
import leads.ApiResponse;
import leads.api.LeadsApi;
import leads.model.Lead;
import leads.model.LeadCreate;
import leads.model.LeadUpdate;

/** Uses the client that openapi-generator generates for Java. */
public class Main {
  private static LeadsApi api;

  public static void main(String[] args) throws ApiException {
    ApiClient client = new ApiClient();
    client.updateBaseUri(System.getenv("LEADS_URL"));
    client.setRequestInterceptor(r -> r.header("Authorization", "Bearer " + System.getenv("LEADS_KEY")));
    api = new LeadsApi(client);

    ApiResponse<Lead> first = create("openapi-generator-java", "1250000.5");
    String id = first.getData().getId();
    check(create("openapi-generator-java", "1250000.5").getData().getId().equals(id), "repeated create");
    Lead exact = create("openapi-generator-java-38", "12345678901234567890123456789012345678").getData();
    List<Lead> listed = api.listLeads(2, null, null, null, null, null, null, null, null, null, null).getData();
    check(listed.get(0).getId().equals(exact.getId()) && listed.get(1).getId().equals(id), listed);

    String tag = first.getHeaders().get("etag").get(0);
    Lead updated = api.updateLead(id, tag, new LeadUpdate().status("Open"));
    check(updated.getStatus().equals("Open") && Objects.equals(updated.getLeadName(), "Ada"), updated);
    expect(412, "precondition_failed", () -> api.updateLead(id, tag, new LeadUpdate().status("Open")));

    for (String deleted : List.of(id, exact.getId())) {
      check(api.deleteLead(deleted, null).getDeleted(), deleted);
    }
    expect(404, "resource_missing", () -> api.retrieveLead(id, null));
  }

  private static ApiResponse<Lead> create(String key, String revenue) throws ApiException {
    BigDecimal number = new BigDecimal(revenue);
    ApiResponse<Lead> created = api.createLeadWithHttpInfo(key, new LeadCreate().leadName("Ada").annualRevenue(number));
    check(created.getStatusCode() == 201 && created.getData().getAnnualRevenue().compareTo(number) == 0, created.getData());
    return created;
  }

  private interface Call {
    void run() throws ApiException;
  }

  private static void expect(int status, String code, Call call) {
    try {
      call.run();
    } catch (ApiException e) {
      check(e.getCode() == status && e.getResponseBody().contains(code), e);
      return;
    }
    throw new AssertionError("the request was not refused with " + code);
  }

  private static void check(boolean ok, Object got) {
    if (!ok) throw new AssertionError(got);
  }
}
