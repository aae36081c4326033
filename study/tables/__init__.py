"""Tables that people bring: header, cells and row numbers of CSV, Excel and Parquet files, and their meaning."""
