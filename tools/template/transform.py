"""Prints template.yaml as CloudFormation gets it, after SAM's transform, for a
stage with all options in use. It runs with the Python of SAM CLI, which
contains the transform:

    tools/pytool sam python tools/template/transform.py dev|prod
"""

import json
import os
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-west-1")

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

OPTIONS = {
    "Stage": sys.argv[1],
    "ReservedConcurrency": "100",
    "DomainName": "api.example.com",
    "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/example",
    "HostedZoneId": "Z0123456789ABCDEFGHIJ",
    "CorsOrigin": "https://app.example.com",
    "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:example",
}
BASIC_ROLE = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"

with open("template.yaml") as file:
    template = yaml_parse(file.read())
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = "s3://bucket/key"  # as after packaging
for name, value in OPTIONS.items():
    template["Parameters"][name]["Default"] = value
translator = Translator({"AWSLambdaBasicExecutionRole": BASIC_ROLE}, Parser())
print(json.dumps(translator.translate(template, OPTIONS), indent=2))
