"""Tables that people bring (CSV, Excel, Parquet) as header, cells and row numbers; what they mean is study/table.py."""
