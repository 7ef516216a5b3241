import csv

import duckdb
import openpyxl
import pandas

duckdb.sql(
    "COPY (FROM read_csv('export.csv', all_varchar=true, allow_quoted_nulls=false))"
    " TO 'duckdb.csv' (HEADER)"
)
pandas.read_csv("export.csv").to_csv("pandas.csv", index=False)
with open("export.csv", newline="", encoding="utf-8") as file:
    rows = list(csv.reader(file))
with open("csv.csv", "w", newline="", encoding="utf-8") as file:
    csv.writer(file, delimiter=";", quoting=csv.QUOTE_ALL).writerows(rows)
book = openpyxl.Workbook()
for row in rows:
    book.active.append(row)
book.save("openpyxl.xlsx")
