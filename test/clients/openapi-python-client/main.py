"""Uses the client that openapi-python-client generates.

It holds numbers as float, which rounds a revenue of 38 digits.
"""

import os

from leads import AuthenticatedClient
from leads.api.leads import create_lead, delete_lead, list_leads, retrieve_lead, update_lead
from leads.models import LeadCreate, LeadUpdate

client = AuthenticatedClient(base_url=os.environ["LEADS_URL"], token=os.environ["LEADS_KEY"])


def create(key, revenue):
    created = create_lead.sync_detailed(
        client=client, body=LeadCreate(lead_name="Ada", annual_revenue=revenue), idempotency_key=key
    )
    assert created.status_code == 201, created
    assert created.parsed.annual_revenue == revenue, created
    return created


first = create("openapi-python-client", 1250000.5)
lead_id = first.parsed.id
assert create("openapi-python-client", 1250000.5).parsed.id == lead_id
rounded = create("openapi-python-client-38", float(12345678901234567890123456789012345678))
listed = list_leads.sync(client=client, limit=2)
assert [lead.id for lead in listed.data] == [rounded.parsed.id, lead_id], listed

tag = first.headers["ETag"]
updated = update_lead.sync_detailed(lead_id, client=client, body=LeadUpdate(status="Open"), if_match=tag)
assert updated.status_code == 200 and updated.parsed.status == "Open" and updated.parsed.lead_name == "Ada", updated
failed = update_lead.sync_detailed(lead_id, client=client, body=LeadUpdate(status="Open"), if_match=tag)
assert failed.status_code == 412 and failed.parsed.error.code == "precondition_failed", failed

for deleted_id in (lead_id, rounded.parsed.id):
    assert delete_lead.sync(deleted_id, client=client).deleted
missing = retrieve_lead.sync_detailed(lead_id, client=client)
assert missing.status_code == 404 and missing.parsed.error.message, missing

for _ in range(21):  # for the programs in docs/clients.md
    assert create_lead.sync(client=client, body=LeadCreate(lead_name="Ada"))
