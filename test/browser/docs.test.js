// Tests the page /docs of "leads serve" in Chromium: "make browser".
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const url = process.env.LEADS_URL;
const key = process.env.LEADS_KEY;
const output = new URL("output/", import.meta.url).pathname;

let browser, context, page;
const requests = [];
const problems = [];

before(async () => {
  mkdirSync(output, { recursive: true });
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.on("request", (request) => requests.push(request.url()));
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(message.text());
  });
  context.on("weberror", (error) => problems.push(String(error.error())));
  page = await context.newPage();
  await page.goto(`${url}/docs#key=${key}`);
});

after(() => browser.close());

test("the page shows all operations", async () => {
  const { paths } = await (await fetch(`${url}/openapi.json`)).json();
  const operations = Object.values(paths).flatMap((path) => Object.values(path).filter((o) => o.operationId));
  assert.ok(operations.length > 0);
  for (const { summary } of operations) {
    await page.getByText(summary, { exact: true }).first().waitFor();
  }
  await page.screenshot({ path: `${output}docs.png` });
});

// open shows an operation, and returns the part of the page that is about it.
async function open(method, path) {
  const operation = page.locator(`[id="${method}-${path}"]`);
  await operation.locator("summary").first().click();
  return operation;
}

// send presses "TRY" and returns the answer to the request.
async function send(operation, method) {
  const answer = page.waitForResponse((response) => response.request().method() === method);
  await operation.getByRole("button", { name: "TRY", exact: true }).click();
  return answer;
}

test("it creates a lead with the prefilled example and lists it", async () => {
  const create = await open("post", "/api/crm/lead");
  const created = await send(create, "POST");
  assert.equal(created.status(), 201);
  const lead = await created.json();
  assert.equal(lead.annual_revenue, 1250000.5);
  await create.getByText(lead.id).first().waitFor();
  await page.screenshot({ path: `${output}create.png`, fullPage: true });

  const again = await send(create, "POST");
  assert.notEqual((await again.json()).id, lead.id, "the page sends an Idempotency-Key by itself");

  const list = await open("get", "/api/crm/lead");
  const listed = await send(list, "GET");
  assert.equal(listed.status(), 200);
  assert.ok((await listed.json()).data.some(({ id }) => id === lead.id));
  await list.getByText(lead.id).first().waitFor();
  await page.screenshot({ path: `${output}list.png`, fullPage: true });
});

test("a key can be typed in", async () => {
  const other = await context.newPage();
  await other.goto(`${url}/docs`);
  await other.getByPlaceholder("api-token").fill(key);
  await other.getByRole("button", { name: "SET", exact: true }).click();
  await other.getByText("Key Applied", { exact: true }).waitFor();
  await other.close();
});

test("the key does not stay in the address", () => {
  assert.ok(!page.url().includes(key), page.url());
});

test("no request leaves the origin, and nothing fails", () => {
  assert.ok(requests.length > 0);
  assert.deepEqual(requests.filter((request) => new URL(request).origin !== url), []);
  assert.deepEqual(problems, []);
});
