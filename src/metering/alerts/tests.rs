use super::*;
use crate::clock::Clock;

fn budget(block: bool) -> Budget {
    Budget { monthly: 100.into(), alerts: vec![50, 100], forecast_alerts: vec![100, 150], block }
}

fn state(journal: &Journal, used: i128) -> BudgetState {
    let domain = DomainName::new("sales").unwrap();
    BudgetState { used, ..BudgetState::of(journal, &domain, &budget(true), "USD") }
}

#[test]
fn thresholds_are_passed_by_what_was_spent_and_from_the_fourth_day_on_by_what_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::fixed("2026-11-03T23:59:59Z".parse().unwrap());
    let journal = Journal::open(folder.path(), clock.clone()).unwrap();
    let one = 10_i128.pow(15);
    let passed = |used: i128| {
        let passed = passed(&budget(false), &state(&journal, used), journal.now());
        passed.into_iter().map(|(kind, percent)| format!("{} {percent}", kind.label())).collect::<Vec<_>>()
    };
    assert_eq!(passed(50 * one - 1), Vec::<String>::new());
    assert_eq!(passed(50 * one), ["actual 50"]);
    assert_eq!(passed(-one), Vec::<String>::new());
    // On the fourth of November, a tenth of the month.
    clock.advance(TimeDelta::seconds(1));
    assert_eq!(passed(10 * one - 1), Vec::<String>::new());
    assert_eq!(passed(10 * one), ["forecast 100"]);
    assert_eq!(passed(100 * one), ["actual 50", "actual 100", "forecast 100", "forecast 150"]);
}

#[test]
fn a_threshold_is_told_once_a_month_over_restarts_too_and_owed_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = tempfile::tempdir().unwrap();
    std::fs::write(
        catalog.path().join("mesh.yaml"),
        "apiVersion: datamesh.io/v1\nkind: Mesh\nmetadata: {name: m}\nspec: {currency: USD}\n",
    )
    .unwrap();
    let snapshot = Catalog::open(catalog.path()).unwrap().current();
    let journal = Journal::open(folder.path(), Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap())).unwrap();
    let webhook = Webhook::new("http://127.0.0.1:9/", "0123456789abcdef").unwrap();
    let tell = |alerts: &Alerts, percent: u32, month: &str| {
        let threshold = (DomainName::new("sales").unwrap(), month.parse().unwrap(), Kind::Actual, percent);
        alerts.tell(threshold, &budget(true), &state(&journal, 60), &snapshot).unwrap();
    };
    let count = |alerts: &Alerts| alerts.0.store.lock().query_row("SELECT count(*) FROM alerts", [], |row| row.get::<_, i64>(0)).unwrap();
    for rows in [1, 2] {
        let alerts = Alerts::open(folder.path(), &journal, Some(webhook.clone())).unwrap();
        tell(&alerts, 50, "2026-11");
        tell(&alerts, 50, "2026-11");
        assert_eq!(count(&alerts), 1);
        if rows == 2 {
            tell(&alerts, 50, "2026-12");
            tell(&alerts, 100, "2026-12");
            assert_eq!(count(&alerts), 3);
            let owed = alerts.owed().unwrap().unwrap();
            assert!(owed.body.contains("\"month\":\"2026-11\"") && owed.body.contains(&owed.id), "{owed:?}");
            alerts.settled(owed.entry).unwrap();
            assert!(alerts.owed().unwrap().unwrap().body.contains("\"month\":\"2026-12\""));
        }
    }
}
