-- insert.sql: tables with indexes are filled in transactions, changed and thinned out.
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL, shelf INTEGER);
CREATE INDEX items_shelf ON items (shelf, price);
CREATE INDEX items_name ON items (name);
BEGIN;
INSERT INTO items
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
  SELECT i, 'item ' || (i * 7919 % 100003), i % 977 * 0.25, i * 31 % 503 FROM n;
COMMIT;
BEGIN;
UPDATE items SET price = price * 1.5, shelf = shelf + 1 WHERE shelf < 100;
DELETE FROM items WHERE id % 7 = 0;
COMMIT;
SELECT count(*), sum(shelf), max(name), round(sum(price), 2) FROM items;
