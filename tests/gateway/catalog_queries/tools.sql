-- What other tools ask: JDBC's DatabaseMetaData, Metabase, DBeaver, Grafana, dbt, TypeORM, Npgsql, and people at a prompt.
-- Worded after what those tools do; the shapes (correlated subqueries, reg casts, functions in FROM) are theirs.

-- name: JDBC getSchemas
SELECT nspname AS TABLE_SCHEM, NULL AS TABLE_CATALOG FROM pg_catalog.pg_namespace WHERE nspname <> 'pg_toast' AND (nspname !~ '^pg_temp_' OR nspname = (pg_catalog.current_schemas(true))[1]) AND (nspname !~ '^pg_toast_temp_' OR nspname = replace((pg_catalog.current_schemas(true))[1], 'pg_temp_', 'pg_toast_temp_')) ORDER BY TABLE_SCHEM;
-- => table_schem | table_catalog
-- => audit | NULL
-- => claims | NULL
-- => finops | NULL
-- => information_schema | NULL
-- => mesh | NULL
-- => pg_catalog | NULL
-- => public | NULL
-- => (7 rows)

-- name: JDBC getTables
SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, c.relname AS TABLE_NAME, CASE n.nspname ~ '^pg_' OR n.nspname = 'information_schema' WHEN true THEN CASE WHEN n.nspname = 'pg_catalog' OR n.nspname = 'information_schema' THEN CASE c.relkind WHEN 'r' THEN 'SYSTEM TABLE' WHEN 'v' THEN 'SYSTEM VIEW' WHEN 'i' THEN 'SYSTEM INDEX' ELSE NULL END ELSE NULL END WHEN false THEN CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'PARTITIONED TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END ELSE NULL END AS TABLE_TYPE, d.description AS REMARKS, '' as TYPE_CAT, '' as TYPE_SCHEM, '' as TYPE_NAME, '' AS SELF_REFERENCING_COL_NAME, '' AS REF_GENERATION FROM pg_catalog.pg_namespace n, pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_description d ON (c.oid = d.objoid AND d.objsubid = 0 and d.classoid = 'pg_class'::regclass) WHERE c.relnamespace = n.oid AND n.nspname LIKE 'claims' AND (false OR ( c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' )) ORDER BY TABLE_TYPE, TABLE_SCHEM, TABLE_NAME;
-- => table_cat | table_schem | table_name | table_type | remarks | type_cat | type_schem | type_name | self_referencing_col_name | ref_generation
-- => NULL | claims | claims_enriched | TABLE | One row per claims_enriched. |  |  |  |  | 
-- => (1 rows)

-- name: JDBC getColumns
SELECT * FROM (SELECT n.nspname,c.relname,a.attname,a.atttypid,a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull,a.atttypmod,a.attlen,t.typtypmod,row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, nullif(a.attidentity, '') as attidentity,nullif(a.attgenerated, '') as attgenerated,pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc,dsc.description,t.typbasetype,t.typtype FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid) JOIN pg_catalog.pg_attribute a ON (a.attrelid=c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid) LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid=def.adrelid AND a.attnum = def.adnum) LEFT JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid) LEFT JOIN pg_catalog.pg_class dc ON (dc.oid=dsc.classoid AND dc.relname='pg_class') LEFT JOIN pg_catalog.pg_namespace dn ON (dc.relnamespace=dn.oid AND dn.nspname='pg_catalog') WHERE c.relkind in ('r','p','v','f','m') and a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'claims' AND c.relname LIKE 'claims\_enriched') c WHERE true ORDER BY nspname,c.relname,attnum;
-- => nspname | relname | attname | atttypid | attnotnull | atttypmod | attlen | typtypmod | attnum | attidentity | attgenerated | adsrc | description | typbasetype | typtype
-- => claims | claims_enriched | id | 20 | true | -1 | 8 | -1 | 1 | NULL | NULL | NULL | Key | 0 | b
-- => claims | claims_enriched | amount | 1700 | false | 786438 | -1 | -1 | 2 | NULL | NULL | NULL | NULL | 0 | b
-- => claims | claims_enriched | reported | 1184 | false | -1 | 8 | -1 | 3 | NULL | NULL | NULL | NULL | 0 | b
-- => claims | claims_enriched | region | 25 | false | -1 | -1 | -1 | 4 | NULL | NULL | NULL | NULL | 0 | b
-- => claims | claims_enriched | tags | 1009 | false | -1 | -1 | -1 | 5 | NULL | NULL | NULL | NULL | 0 | b
-- => (5 rows)

-- name: JDBC getPrimaryKeys
SELECT result.TABLE_CAT, result.TABLE_SCHEM, result.TABLE_NAME, result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME FROM (SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME, information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON ( a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE true AND n.nspname = 'claims' AND ct.relname = 'claims_enriched' AND i.indisprimary ) result where result.A_ATTNUM = (result.KEYS).x ORDER BY result.table_name, result.pk_name, result.key_seq;
-- => table_cat | table_schem | table_name | column_name | key_seq | pk_name
-- => (0 rows)

-- name: JDBC type by oid
SELECT n.nspname = ANY(current_schemas(true)), n.nspname, t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON t.typnamespace = n.oid WHERE t.oid = 1700;
-- => ?column? | nspname | typname
-- => true | pg_catalog | numeric
-- => (1 rows)

-- name: JDBC base column of a result
SELECT c.oid, a.attnum, a.attname, c.relname, n.nspname, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull), a.attidentity != '' OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%' FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON (c.relnamespace = n.oid) JOIN pg_catalog.pg_attribute a ON (c.oid = a.attrelid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid) LEFT JOIN pg_catalog.pg_attrdef d ON (d.adrelid = a.attrelid AND d.adnum = a.attnum) JOIN (SELECT @oid@ AS oid , 1 AS attnum UNION ALL SELECT @oid@, 2) vals ON (c.oid = vals.oid AND a.attnum = vals.attnum);
-- => oid | attnum | attname | relname | nspname | ?column? | ?column?
-- => 1157503911 | 1 | id | claims_enriched | claims | true | NULL
-- => 1157503911 | 2 | amount | claims_enriched | claims | false | NULL
-- => (2 rows)

-- name: Npgsql types
SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid FROM (SELECT typ.oid, typ.typnamespace, typ.typname, typ.typtype, typ.typrelid, typ.typnotnull, typ.relkind, elemtyp.oid AS elemtypoid, elemtyp.typname AS elemtypname, CASE WHEN proc.proname='array_recv' THEN 'a' ELSE typ.typtype END AS elemtyptype FROM (SELECT typ.oid, typnamespace, typname, typrelid, typnotnull, relkind, typelem AS elemoid, CASE WHEN proc.proname='array_recv' THEN 'a' ELSE typ.typtype END AS typtype, typ.typreceive FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid) LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive) AS typ LEFT JOIN pg_type AS elemtyp ON elemtyp.oid = typ.elemoid LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive) AS t JOIN pg_namespace AS ns ON (ns.oid = typnamespace) WHERE t.typtype IN ('b', 'r', 'm', 'e', 'd') OR (t.typtype = 'a' AND t.elemtyptype IN ('b', 'r', 'm', 'e', 'd')) ORDER BY t.oid;
-- => nspname | oid | typname | typtype | typnotnull | elemtypoid
-- => pg_catalog | 16 | bool | b | false | NULL
-- => pg_catalog | 17 | bytea | b | false | NULL
-- => pg_catalog | 18 | char | b | false | NULL
-- => (65 rows)

-- name: Metabase tables it may read
SELECT n.nspname AS schema, c.relname AS name, CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'v' THEN 'VIEW' ELSE NULL END AS type, d.description AS description FROM pg_catalog.pg_class c INNER JOIN pg_catalog.pg_namespace n ON c.relnamespace = n.oid LEFT JOIN pg_catalog.pg_description d ON c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass WHERE c.relnamespace = n.oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'f', 'm') AND n.nspname IN ('claims') ORDER BY type, schema, name;
-- => schema | name | type | description
-- => claims | claims_enriched | TABLE | One row per claims_enriched.
-- => (1 rows)

-- name: Metabase privileges
SELECT NULL AS role, t.schemaname AS schema, t.objectname AS table, pg_catalog.has_any_column_privilege(current_user, '"' || replace(t.schemaname, '"', '""') || '"' || '.' || '"' || replace(t.objectname, '"', '""') || '"', 'update') AS update, pg_catalog.has_any_column_privilege(current_user, '"' || t.schemaname || '"."' || t.objectname || '"', 'select') AS select FROM (SELECT schemaname, tablename AS objectname FROM pg_catalog.pg_tables UNION SELECT schemaname, viewname AS objectname FROM pg_views UNION SELECT schemaname, matviewname AS objectname FROM pg_matviews) t WHERE t.schemaname !~ '^pg_' AND t.schemaname = 'claims' AND pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage');
-- => role | schema | table | update | select
-- => NULL | claims | claims_enriched | false | true
-- => (1 rows)

-- name: DBeaver databases
SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE datallowconn AND NOT datistemplate ORDER BY db.datname;
-- => oid | oid | datname | datdba | encoding | datlocprovider | datistemplate | datallowconn | datconnlimit | datfrozenxid | datminmxid | dattablespace | datcollate | datctype | daticulocale | daticurules | datcollversion | datacl
-- => 5 | 5 | mesh | 10 | 6 | c | false | true | -1 | 0 | 0 | 1663 | C | C | NULL | NULL | NULL | NULL
-- => (1 rows)

-- name: DBeaver schemas
SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0 AND d.classoid='pg_namespace'::regclass ORDER BY nspname;
-- => oid | oid | nspname | nspowner | nspacl | description
-- => 1247989473 | 1247989473 | audit | 10 | NULL | NULL
-- => 1580982133 | 1580982133 | claims | 188079261 | NULL | NULL
-- => 123493663 | 123493663 | finops | 10 | NULL | NULL
-- => 236540200 | 236540200 | information_schema | 10 | NULL | NULL
-- => 585853812 | 585853812 | mesh | 10 | NULL | NULL
-- => 11 | 11 | pg_catalog | 10 | NULL | NULL
-- => 2200 | 2200 | public | 10 | NULL | NULL
-- => (7 rows)

-- name: DBeaver tables
SELECT c.oid,c.relname,d.description,pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr, pg_catalog.pg_get_partkeydef(c.oid) as partition_key FROM pg_catalog.pg_class c LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND d.classoid='pg_class'::regclass WHERE c.relnamespace=(SELECT oid FROM pg_namespace WHERE nspname = 'claims') AND c.relkind not in ('i','I','c');
-- => oid | relname | description | partition_expr | partition_key
-- => 1157503911 | claims_enriched | One row per claims_enriched. | NULL | NULL
-- => (1 rows)

-- name: DBeaver columns
SELECT c.relname,a.attname,a.atttypid,pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,dsc.description,dep.objid FROM pg_catalog.pg_attribute a INNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid) LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum) LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid) LEFT OUTER JOIN pg_depend dep on dep.refobjid = a.attrelid AND dep.deptype = 'i' and dep.refobjsubid = a.attnum and dep.classid = dep.refclassid WHERE NOT a.attisdropped AND c.oid=@oid@ ORDER BY a.attnum;
-- => relname | attname | atttypid | def_value | description | objid
-- => claims_enriched | id | 20 | NULL | Key | NULL
-- => claims_enriched | amount | 1700 | NULL | NULL | NULL
-- => claims_enriched | reported | 1184 | NULL | NULL | NULL
-- => claims_enriched | region | 25 | NULL | NULL | NULL
-- => claims_enriched | tags | 1009 | NULL | NULL | NULL
-- => (5 rows)

-- name: DBeaver session
SELECT current_schema(), session_user;
-- => current_schema | session_user
-- => claims | claims_engineer
-- => (1 rows)

-- name: Grafana schemas in the path
SELECT quote_ident(table_schema) AS schema, quote_ident(table_name) AS table FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog') AND table_type = 'BASE TABLE' AND table_schema = 'claims';
-- => schema | table
-- => claims | claims_enriched
-- => (1 rows)

-- name: dbt relations
SELECT 'mesh' as database, tablename as name, schemaname as schema, 'table' as type FROM pg_tables WHERE schemaname ilike 'claims' UNION ALL SELECT 'mesh' as database, viewname as name, schemaname as schema, 'view' as type FROM pg_views WHERE schemaname ilike 'claims' UNION ALL SELECT 'mesh' as database, matviewname as name, schemaname as schema, 'materialized_view' as type FROM pg_matviews WHERE schemaname ilike 'claims';
-- => database | name | schema | type
-- => mesh | claims_enriched | claims | table
-- => (1 rows)

-- name: dbt schemas
SELECT distinct nspname FROM pg_namespace ORDER BY 1;
-- => nspname
-- => audit
-- => claims
-- => finops
-- => information_schema
-- => mesh
-- => pg_catalog
-- => public
-- => (7 rows)

-- name: DuckDB's columns of a schema
SELECT pg_namespace.oid AS namespace_id, relname, relpages, attname, pg_type.typname type_name, atttypmod type_modifier, pg_attribute.attndims ndim, attnum, pg_attribute.attnotnull AS notnull, NULL constraint_id, NULL constraint_type, NULL constraint_key FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid JOIN pg_attribute ON pg_class.oid=pg_attribute.attrelid JOIN pg_type ON atttypid=pg_type.oid WHERE attnum > 0 AND relkind IN ('r', 'v', 'm', 'f', 'p') AND pg_namespace.nspname = 'claims' UNION ALL SELECT pg_namespace.oid AS namespace_id, relname, NULL relpages, NULL attname, NULL type_name, NULL type_modifier, NULL ndim, NULL attnum, NULL AS notnull, pg_constraint.oid AS constraint_id, contype AS constraint_type, conkey AS constraint_key FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid JOIN pg_constraint ON (pg_class.oid=pg_constraint.conrelid) WHERE relkind IN ('r', 'v', 'm', 'f', 'p') AND contype IN ('p', 'u') ORDER BY namespace_id, relname, attnum, constraint_id;
-- => namespace_id | relname | relpages | attname | type_name | type_modifier | ndim | attnum | notnull | constraint_id | constraint_type | constraint_key
-- => 1580982133 | claims_enriched | 0 | id | int8 | -1 | 0 | 1 | true | NULL | NULL | NULL
-- => 1580982133 | claims_enriched | 0 | amount | numeric | 786438 | 0 | 2 | false | NULL | NULL | NULL
-- => 1580982133 | claims_enriched | 0 | reported | timestamptz | -1 | 0 | 3 | false | NULL | NULL | NULL
-- => 1580982133 | claims_enriched | 0 | region | text | -1 | 0 | 4 | false | NULL | NULL | NULL
-- => 1580982133 | claims_enriched | 0 | tags | _text | -1 | 1 | 5 | false | NULL | NULL | NULL
-- => (5 rows)

-- name: TypeORM schema
SELECT * FROM current_schema();
-- => current_schema
-- => claims
-- => (1 rows)

-- name: columns by the standard
SELECT column_name, data_type, is_nullable, numeric_precision, numeric_scale, datetime_precision, udt_name FROM information_schema.columns WHERE table_schema = 'claims' AND table_name = 'claims_enriched' ORDER BY ordinal_position;
-- => column_name | data_type | is_nullable | numeric_precision | numeric_scale | datetime_precision | udt_name
-- => id | bigint | NO | 64 | 0 | NULL | int8
-- => amount | numeric | YES | 12 | 2 | NULL | numeric
-- => reported | timestamp with time zone | YES | NULL | NULL | 6 | timestamptz
-- => region | text | YES | NULL | NULL | NULL | text
-- => tags | ARRAY | YES | NULL | NULL | NULL | _text
-- => (5 rows)

-- name: keys by the standard
SELECT tc.constraint_name, kcu.column_name FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kcu ON tc.constraint_name = kcu.constraint_name WHERE tc.constraint_type = 'PRIMARY KEY' AND tc.table_schema = 'claims';
-- => constraint_name | column_name
-- => (0 rows)

-- name: schemas by the standard
SELECT catalog_name, schema_name, schema_owner FROM information_schema.schemata ORDER BY 2;
-- => catalog_name | schema_name | schema_owner
-- => mesh | audit | meshgate
-- => mesh | claims | claims
-- => mesh | finops | meshgate
-- => mesh | information_schema | meshgate
-- => mesh | mesh | meshgate
-- => mesh | pg_catalog | meshgate
-- => mesh | public | meshgate
-- => (7 rows)

-- name: privileges by the standard
SELECT grantee, table_schema, table_name, privilege_type FROM information_schema.table_privileges WHERE table_schema = 'claims';
-- => grantee | table_schema | table_name | privilege_type
-- => claims_engineer | claims | claims_enriched | SELECT
-- => (1 rows)

-- name: one's own activity
SELECT datname, usename, state FROM pg_stat_activity;
-- => datname | usename | state
-- => mesh | claims_engineer | active
-- => (1 rows)

-- name: how many indexes
SELECT count(*) AS indexes FROM pg_index;
-- => indexes
-- => 0
-- => (1 rows)
