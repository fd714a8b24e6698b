-- select.sql: questions to the tables that the benchmark's files have: joins, groups, sorting, text.
SELECT shelf, count(*), round(avg(price), 3) FROM items GROUP BY shelf ORDER BY 3 DESC, 1 LIMIT 10;
SELECT a.id, b.id FROM items a JOIN items b ON b.shelf = a.shelf AND b.id > a.id
  WHERE a.price < 5 ORDER BY b.price, a.id, b.id LIMIT 10;
SELECT count(*), sum(length(name)) FROM items WHERE name LIKE '%77%' OR price BETWEEN 20 AND 30;
SELECT count(DISTINCT substr(name, 6, 3)) FROM items;
WITH ranked AS (SELECT id, shelf, row_number() OVER (PARTITION BY shelf ORDER BY price DESC, id) AS place FROM items)
  SELECT sum(id), count(*) FROM ranked WHERE place <= 3;
