// Uses the types that openapi-typescript generates, with openapi-fetch. JavaScript
// numbers round a revenue of 38 digits.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./leads/leads.js";

const client = createClient<paths>({
  baseUrl: process.env.LEADS_URL!,
  headers: { Authorization: `Bearer ${process.env.LEADS_KEY}` },
});

async function create(key: string, revenue: number) {
  // Only the fields that are set, and no other, must be required by the type.
  const body: components["schemas"]["LeadCreate"] = { lead_name: "Ada", annual_revenue: revenue };
  const { data, response } = await client.POST("/api/crm/lead", { params: { header: { "Idempotency-Key": key } }, body });
  assert.equal(response.status, 201);
  assert.equal(data?.annual_revenue, revenue);
  return { lead: data!, tag: response.headers.get("ETag")! };
}

const { lead, tag } = await create("openapi-typescript", 1250000.5);
assert.equal((await create("openapi-typescript", 1250000.5)).lead.id, lead.id);
const { lead: rounded } = await create("openapi-typescript-38", 12345678901234567890123456789012345678);
const listed = await client.GET("/api/crm/lead", { params: { query: { limit: 2 } } });
assert.deepEqual(listed.data?.data.map(({ id }) => id), [rounded.id, lead.id]);

const params = { path: { id: lead.id }, header: { "If-Match": tag } };
const updated = await client.PATCH("/api/crm/lead/{id}", { params, body: { status: "Open" } });
assert.equal(updated.data?.status, "Open");
assert.equal(updated.data?.lead_name, "Ada");
const failed = await client.PATCH("/api/crm/lead/{id}", { params, body: { status: "Open" } });
assert.equal(failed.error?.error.code, "precondition_failed");

for (const id of [lead.id, rounded.id]) {
  const deleted = await client.DELETE("/api/crm/lead/{id}", { params: { path: { id } } });
  assert.equal(deleted.data?.deleted, true);
}
const missing = await client.GET("/api/crm/lead/{id}", { params: { path: { id: lead.id } } });
assert.equal(missing.response.status, 404);
assert.ok(missing.error?.error.message);
