"""Uses the client that openapi-generator generates for Python.

It reads numbers as float, which rounds a revenue of 38 digits.
"""

import os

from leads import ApiClient, Configuration, LeadCreate, LeadsApi, LeadUpdate
from leads.exceptions import ApiException, NotFoundException

api = LeadsApi(ApiClient(Configuration(host=os.environ["LEADS_URL"], access_token=os.environ["LEADS_KEY"])))


def create(key, revenue):
    created = api.create_lead_with_http_info(key, LeadCreate(lead_name="Ada", annual_revenue=revenue))
    assert created.status_code == 201, created
    assert float(created.data.annual_revenue) == float(revenue), created
    return created


first = create("openapi-generator-python", 1250000.5)
lead_id = first.data.id
assert create("openapi-generator-python", 1250000.5).data.id == lead_id
rounded = create("openapi-generator-python-38", 12345678901234567890123456789012345678)
listed = api.list_leads(limit=2)
assert [lead.id for lead in listed.data] == [rounded.data.id, lead_id], listed

tag = next(value for name, value in first.headers.items() if name.lower() == "etag")
updated = api.update_lead(lead_id, if_match=tag, lead_update=LeadUpdate(status="Open"))
assert updated.status == "Open" and updated.lead_name == "Ada", updated
try:
    api.update_lead(lead_id, if_match=tag, lead_update=LeadUpdate(status="Open"))
    raise AssertionError("an old ETag was accepted")
except ApiException as error:
    assert error.status == 412 and error.data.error.code == "precondition_failed", error

for deleted_id in (lead_id, rounded.data.id):
    assert api.delete_lead(deleted_id).deleted
try:
    api.retrieve_lead(lead_id)
    raise AssertionError("a deleted lead was found")
except NotFoundException as error:
    assert error.data.error.message, error
