"""Makes the routes that the emulator ignores: those in the Body of the HTTP API
in the deployed template. Takes the name of the stack and prints the API's id."""

import re
import sys

import boto3

stack = sys.argv[1]
formation = boto3.client("cloudformation")
gateway = boto3.client("apigatewayv2")


def physical(name):
    found = formation.describe_stack_resource(StackName=stack, LogicalResourceId=name)
    return found["StackResourceDetail"]["PhysicalResourceId"]


template = formation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
paths = template["Resources"]["Api"]["Properties"]["Body"]["paths"]
api = physical("Api")
there = {route["RouteKey"] for route in gateway.get_routes(ApiId=api)["Items"]}


def chosen(value):
    """Returns the value with all options of the stack in use."""
    return value["Fn::If"][1] if "Fn::If" in value else value


for path, methods in paths.items():
    for method, operation in methods.items():
        method = method.upper().removeprefix("X-AMAZON-APIGATEWAY-").removesuffix("-METHOD")
        key = "$default" if path == "/$default" else f"{method} {path}"
        if key in there:
            continue
        integration = chosen(operation)["x-amazon-apigateway-integration"]
        uri = chosen(integration["uri"])["Fn::Sub"]
        alias = re.search(r"functions/\$\{(\w+)\}/invocations", uri).group(1)
        made = gateway.create_integration(
            ApiId=api,
            IntegrationType="AWS_PROXY",
            IntegrationUri=physical(alias),
            PayloadFormatVersion=integration["payloadFormatVersion"],
        )
        gateway.create_route(ApiId=api, RouteKey=key, Target="integrations/" + made["IntegrationId"])
print(api)
