"""Apache Superset, through its own code: a database connection, a dataset with its columns, a chart's query, and SQL Lab's."""

import os
import sys
import tempfile

folder = tempfile.mkdtemp(prefix="meshgate-superset-")
with open(os.path.join(folder, "superset_config.py"), "w") as config:
    config.write(
        f"SECRET_KEY = 'only for this test'\nSQLALCHEMY_DATABASE_URI = 'sqlite:///{folder}/superset.db'\n"
        "WTF_CSRF_ENABLED = False\nTALISMAN_ENABLED = False\nRATELIMIT_ENABLED = False\n"
        "CACHE_CONFIG = DATA_CACHE_CONFIG = FILTER_STATE_CACHE_CONFIG = EXPLORE_FORM_DATA_CACHE_CONFIG = {'CACHE_TYPE': 'SimpleCache'}\n"
    )
os.environ.update(SUPERSET_HOME=folder, SUPERSET_CONFIG_PATH=os.path.join(folder, "superset_config.py"))

from mesh import check, passed, postgres_uri, same  # noqa: E402

from superset.app import create_app  # noqa: E402

app = create_app()
with app.app_context():
    from flask import g
    from flask_appbuilder import Model
    from superset import db, security_manager
    from superset.common.query_context_factory import QueryContextFactory
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    from superset.sql.parse import Table

    Model.metadata.create_all(db.engine)
    app.appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()
    g.user = security_manager.add_user("admin", "Ad", "Min", "admin@test.example", security_manager.find_role("Admin"), "admin")

    database = Database(database_name="mesh", sqlalchemy_uri="postgresql+psycopg2://placeholder")
    database.set_sqlalchemy_uri(postgres_uri("claims_engineer", "postgresql+psycopg2"))
    db.session.add(database)
    db.session.commit()
    with database.get_sqla_engine() as engine:
        check(database.db_engine_spec.engine == "postgresql", "the server is one that Superset knows")
        same(engine.connect().execute("SELECT 1").scalar(), 1, "the connection answers")
    check("claims" in database.get_all_schema_names(), "schemas are listed")
    names = {name for name, *_ in database.get_all_table_names_in_schema(catalog=None, schema="claims")}
    check("claims_enriched" in names, f"tables are listed: {names}")

    dataset = SqlaTable(table_name="claims_enriched", schema="claims", database=database)
    db.session.add(dataset)
    dataset.fetch_metadata()
    db.session.commit()
    types = {column.column_name: str(column.type) for column in dataset.columns}
    same((types["claim_id"], types["amount"]), ("BIGINT", "NUMERIC(12, 2)"), "a dataset has its columns")
    check("count" in {metric.metric_name for metric in dataset.metrics}, "and a metric")

    context = QueryContextFactory().create(
        datasource={"id": dataset.id, "type": "table"},
        queries=[{
            "columns": ["kind", {"timeGrain": "P1M", "columnType": "BASE_AXIS", "sqlExpression": "reported_at", "label": "reported_at", "expressionType": "SQL"}],
            "metrics": ["count", {"expressionType": "SIMPLE", "column": {"column_name": "amount"}, "aggregate": "SUM", "label": "claimed"}],
            "filters": [{"col": "amount", "op": ">", "val": 100}, {"col": "kind", "op": "IN", "val": ["fire", "water", "theft", "collision", "storm"]}],
            "orderby": [["claimed", False]],
            "row_limit": 100,
        }],
        force=True,
    )
    payload = context.get_df_payload(context.queries[0])
    check(payload["error"] is None and payload["rowcount"] > 0, f"a chart has rows: {payload['error']}\n{payload['query']}")
    same(list(payload["df"].columns), ["kind", "reported_at", "count", "claimed"], "and columns")

    frame = database.get_df("SELECT kind, count(*) FROM claims.claims_enriched GROUP BY kind")
    same(list(frame.columns), ["kind", "count"], "SQL Lab's answer has PostgreSQL's names")
    check("claim_id" in database.select_star(Table("claims_enriched", "claims"), show_cols=True), "a preview is written")
    try:
        database.get_df("SELECT nope FROM claims.claims_enriched")
        raise SystemExit("not kept: a wrong column fails")
    except Exception as error:  # the class is Superset's
        check("nope" in str(error), f"an error says what is wrong: {error}")

import importlib.metadata  # noqa: E402

passed("Apache Superset", importlib.metadata.version("apache-superset"), "database connection, dataset, chart query with time grain and filters, SQL Lab", cannot="CSV upload, CREATE TABLE AS: writes")
sys.stdout.flush()
