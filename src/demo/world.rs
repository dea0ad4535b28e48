//! The people, policies and claims of NorthPeak. Each is a pure function of its number, so that every product tells the same story
//! without one generator having to remember what another made.

use super::random::Draw;

/// Days from 1970-01-01 to 2026-01-01.
const NEW_YEAR: i32 = 20_454;
/// Days from 2026-01-01 to 2026-11-15, the last day on which something can have happened.
const LAST_DAY: i32 = 318;
/// One in so many customers takes part in fraud.
const RING: u64 = 97;

/// How many there are of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct World {
    pub(super) customers: u64,
    pub(super) policies: u64,
    pub(super) claims: u64,
}

impl World {
    /// `customers` of them, at least a hundred, and what goes with them.
    pub(super) fn of(customers: u64) -> Self {
        let customers = customers.max(100);
        Self { customers, policies: customers + customers / 2, claims: customers * 3 / 5 }
    }

    pub(super) fn customer(self, number: u64) -> Customer {
        let mut draw = Draw::of("customer", number);
        let place = PLACES.get(usize::try_from(draw.below(100)).unwrap_or(0) * PLACES.len() / 100).unwrap_or(&PLACES[0]);
        let (given, family) = (draw.pick(place.given), draw.pick(place.family));
        let age_days = draw.between(18 * 365, 88 * 365);
        Customer {
            id: customer_id(number),
            national_id: national_id(number),
            full_name: format!("{given} {family}"),
            email: draw.chance(94).then(|| email(given, family, number, &mut draw)),
            phone: draw.chance(88).then(|| format!("{} {:03} {:06}", place.dialling, draw.below(1000), draw.below(1_000_000))),
            birth_date: draw.chance(98).then(|| NEW_YEAR - age_days),
            street: draw.chance(97).then(|| format!("{} {}", draw.pick(place.streets), draw.between(1, 220))),
            postal_code: format!("{:05}", draw.below(99_000) + 1000),
            city: draw.pick(place.cities),
            country: place.country,
            region: place.region,
            segment: if draw.chance(4) {
                None
            } else {
                Some(draw.pick(&["private", "private", "private", "family", "family", "business"]))
            },
            credit_score: draw.chance(91).then(|| draw.between(300, 575) + draw.between(0, 275)),
            consent: draw.chance(57),
            created_at: seconds(NEW_YEAR - draw.between(1, 2400), &mut draw),
        }
    }

    pub(super) fn policy(self, number: u64) -> Policy {
        let mut draw = Draw::of("policy", number);
        // Everybody has one; some have more.
        let holder = if number <= self.customers { number } else { 1 + draw.below(self.customers) };
        let line = match draw.below(100) {
            0..50 => "motor",
            50..75 => "home",
            75..90 => "travel",
            _ => "life",
        };
        let start = draw.between(0, LAST_DAY - 45);
        let premium_cents = match line {
            "motor" => draw.between(28_000, 190_000),
            "home" => draw.between(9_000, 80_000),
            "travel" => draw.between(2_500, 24_000),
            _ => draw.between(15_000, 320_000),
        };
        Policy {
            id: policy_id(number),
            holder,
            number: format!("NP-{}-{:08}", line.get(..1).unwrap_or_default().to_ascii_uppercase(), number),
            line,
            status: draw.pick(&["in_force", "in_force", "in_force", "in_force", "in_force", "in_force", "grace", "suspended"]),
            start: NEW_YEAR + start,
            end: (line != "life").then_some(NEW_YEAR + start + if line == "travel" { 30 } else { 364 }),
            premium_cents: i64::from(premium_cents),
            insured_cents: i64::from(premium_cents) * i64::from(draw.between(80, 400)),
            deductible_cents: draw.chance(70).then(|| i64::from(draw.between(1, 20)) * 5_000),
            vin: (line == "motor").then(|| format!("NPK{:014}", (number.wrapping_mul(7_368_787)) % 100_000_000_000_000)),
            updated_at: seconds(NEW_YEAR + start + draw.between(0, 40), &mut draw),
        }
    }

    pub(super) fn claim(self, number: u64) -> Claim {
        let mut draw = Draw::of("claim", number);
        let policy = self.policy(1 + draw.below(self.policies));
        let holder = self.customer(policy.holder);
        let incident = draw.between(policy.start - NEW_YEAR, LAST_DAY);
        let reported = (incident + draw.between(0, 20) * draw.between(0, 1)).min(LAST_DAY + 4);
        let (claimant, ring) = match draw.below(100) {
            0..2 => (None, false),
            // Somebody else claims, and it is somebody who does so often.
            2..10 => (Some(national_id(1 + draw.below(1 + self.customers / RING) * RING % self.customers)), true),
            10..14 => (Some(national_id(1 + draw.below(self.customers))), false),
            _ => (Some(holder.national_id.clone()), false),
        };
        let cents = i64::from(draw.between(5_000, 900_000)) * if ring { 3 } else { 1 };
        let status = draw.pick(&["created", "assessed", "paid", "paid", "closed", "closed"]);
        let kind = match policy.line {
            "motor" => draw.pick(&["collision", "collision", "collision", "theft"]),
            "home" => draw.pick(&["water", "fire", "theft"]),
            "travel" => draw.pick(&["baggage", "medical"]),
            _ => "medical",
        };
        Claim {
            id: claim_id(number),
            policy_id: policy.id,
            customer_id: holder.id,
            suspicious: claimant.as_ref().is_some_and(|claimant| *claimant != holder.national_id),
            claimant,
            kind,
            status,
            incident: NEW_YEAR + incident,
            reported_at: seconds(NEW_YEAR + reported, &mut draw),
            reported_day: NEW_YEAR + reported,
            cents,
            reserve_cents: (status != "created").then_some(cents * i64::from(draw.between(40, 110)) / 100),
            narrative: draw.chance(96).then(|| narrative(kind, holder.city, &mut draw)),
            region: holder.region,
        }
    }
}

/// A customer.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    pub(super) id: i64,
    pub(super) national_id: String,
    pub(super) full_name: String,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) birth_date: Option<i32>,
    pub(super) street: Option<String>,
    pub(super) postal_code: String,
    pub(super) city: &'static str,
    pub(super) country: &'static str,
    pub(super) region: &'static str,
    pub(super) segment: Option<&'static str>,
    pub(super) credit_score: Option<i32>,
    pub(super) consent: bool,
    pub(super) created_at: i64,
}

/// A policy.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) id: i64,
    pub(super) holder: u64,
    pub(super) number: String,
    pub(super) line: &'static str,
    pub(super) status: &'static str,
    pub(super) start: i32,
    pub(super) end: Option<i32>,
    pub(super) premium_cents: i64,
    pub(super) insured_cents: i64,
    pub(super) deductible_cents: Option<i64>,
    pub(super) vin: Option<String>,
    pub(super) updated_at: i64,
}

/// A claim.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) id: i64,
    pub(super) policy_id: i64,
    pub(super) customer_id: i64,
    pub(super) claimant: Option<String>,
    pub(super) suspicious: bool,
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
    pub(super) incident: i32,
    pub(super) reported_at: i64,
    pub(super) reported_day: i32,
    pub(super) cents: i64,
    pub(super) reserve_cents: Option<i64>,
    pub(super) narrative: Option<String>,
    pub(super) region: &'static str,
}

/// The month of a day since 1970, as `(2026, 3)`.
pub(super) fn month(day: i32) -> (i32, u32) {
    use chrono::Datelike as _;
    let date = chrono::NaiveDate::from_epoch_days(day).unwrap_or_default();
    (date.year(), date.month())
}

/// `2026-03-31` of a day since 1970.
pub(super) fn date(day: i32) -> String {
    chrono::NaiveDate::from_epoch_days(day).unwrap_or_default().to_string()
}

fn customer_id(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX).saturating_add(1_000_000)
}

fn policy_id(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX).saturating_add(20_000_000)
}

fn claim_id(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX).saturating_add(500_000_000)
}

/// Unlike for unlike customers, and not in their order: the factor has no divisor in common with the modulus.
fn national_id(number: u64) -> String {
    let scattered = number.wrapping_mul(387_420_489) % 1_000_000_000;
    format!("{:03}-{:03}-{:03}", scattered / 1_000_000, scattered / 1_000 % 1_000, scattered % 1_000)
}

fn email(given: &str, family: &str, number: u64, draw: &mut Draw) -> String {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    format!("{}.{}{number}@{}", plain(given), plain(family), draw.pick(&["mail.example", "post.example", "inbox.example", "firm.example"]))
}

/// A time on a day, in microseconds since 1970 (UTC).
pub(super) fn seconds(day: i32, draw: &mut Draw) -> i64 {
    (i64::from(day) * 86_400 + i64::from(draw.between(0, 86_399))) * 1_000_000
}

fn narrative(kind: &str, city: &str, draw: &mut Draw) -> String {
    let what = match kind {
        "collision" => draw.pick(&[
            "Rear-ended at a red light",
            "Hit a bollard while parking",
            "Aquaplaning, then the guard rail",
            "Wildunfall: ein Reh auf der Straße",
        ]),
        "theft" => draw.pick(&["Bike gone from the cellar", "Window smashed, \"nothing heard\"", "Véhicule disparu pendant la nuit"]),
        "water" => draw.pick(&["Burst pipe under the sink", "Überschwemmung im Keller", "Dishwasher hose came off"]),
        "fire" => draw.pick(&["Pan of oil caught fire", "Candle, curtain, smoke", "Électricité: court-circuit"]),
        "baggage" => draw.pick(&["Suitcase lost in transit", "Camera broken on the ferry"]),
        _ => draw.pick(&["Broken wrist after a fall", "Hospital stay of three days", "Blessure au genou 🩹"]),
    };
    format!(
        "{what} near {city}. {}",
        draw.pick(&["Photos follow.", "Police were called.", "No witnesses.", "See the \"assessment\" of the garage.", ""])
    )
}

/// Where people live, with the names that are common there. Listed as often as they weigh.
struct Place {
    country: &'static str,
    region: &'static str,
    dialling: &'static str,
    cities: &'static [&'static str],
    streets: &'static [&'static str],
    given: &'static [&'static str],
    family: &'static [&'static str],
}

const GERMANY: Place = Place {
    country: "DE",
    region: "eu",
    dialling: "+49",
    cities: &["München", "Köln", "Düsseldorf", "Hamburg", "Leipzig", "Nürnberg"],
    streets: &["Lindenstraße", "Am Mühlbach", "Schönhauser Allee", "Bahnhofstraße"],
    given: &["Jürgen", "Anneliese", "Emre", "Käthe", "Lukas", "Mila", "Sören", "Zoë"],
    family: &["Müller", "Schäfer", "Öztürk", "Weiß", "Krüger", "Nguyễn", "Böhm"],
};
const FRANCE: Place = Place {
    country: "FR",
    region: "eu",
    dialling: "+33",
    cities: &["Orléans", "Besançon", "Lyon", "Nîmes", "Marseille"],
    streets: &["Rue de l'Église", "Avenue Émile-Zola", "Impasse des Chênes"],
    given: &["Chloé", "Jérôme", "François", "Aïcha", "Noël", "Inès"],
    family: &["Lefèvre", "D'Aubigné", "Bélanger", "Garçon", "Moreau"],
};
const POLAND: Place = Place {
    country: "PL",
    region: "eu",
    dialling: "+48",
    cities: &["Łódź", "Kraków", "Gdańsk", "Wrocław"],
    streets: &["Świętojańska", "Długa", "Piotrkowska"],
    given: &["Łukasz", "Małgorzata", "Żaneta", "Paweł"],
    family: &["Wójcik", "Kowalski", "Dąbrowska", "Zieliński"],
};
const BRITAIN: Place = Place {
    country: "GB",
    region: "uk",
    dialling: "+44",
    cities: &["London", "Leeds", "Glasgow", "Bristol"],
    streets: &["High Street", "Mill Lane", "King's Road"],
    given: &["Oliver", "Siân", "Amelia", "Mohammed", "Niamh"],
    family: &["O'Connor", "Smith", "Patel", "Llewellyn", "MacDonald"],
};
const AMERICA: Place = Place {
    country: "US",
    region: "us",
    dialling: "+1",
    cities: &["Boston", "San José", "Austin", "Coeur d'Alene"],
    streets: &["Elm St.", "Route 66", "Peachtree \"Old\" Road"],
    given: &["Emma", "José", "Liam", "Aaliyah", "Noah"],
    family: &["García", "Johnson", "Nguyen", "O'Brien", "St. John"],
};

const PLACES: [&Place; 10] = [&GERMANY, &GERMANY, &GERMANY, &FRANCE, &FRANCE, &POLAND, &BRITAIN, &BRITAIN, &AMERICA, &AMERICA];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn claims_belong_to_policies_and_policies_to_customers() {
        let world = World::of(500);
        let customers: BTreeSet<i64> = (1..=world.customers).map(|n| world.customer(n).id).collect();
        let policies: BTreeSet<i64> = (1..=world.policies).map(|n| world.policy(n).id).collect();
        assert_eq!((customers.len(), policies.len()), (500, 750));
        for claim in (1..=world.claims).map(|n| world.claim(n)) {
            assert!(customers.contains(&claim.customer_id) && policies.contains(&claim.policy_id));
            assert!(claim.incident <= claim.reported_day && month(claim.reported_day).0 == 2026, "{claim:?}");
        }
    }

    #[test]
    fn national_numbers_are_unique_and_somebody_claims_for_others() {
        let world = World::of(2_000);
        let numbers: BTreeSet<String> = (1..=world.customers).map(|n| world.customer(n).national_id).collect();
        assert_eq!(numbers.len(), 2_000);
        let suspicious = (1..=world.claims).map(|n| world.claim(n)).filter(|claim| claim.suspicious).collect::<Vec<_>>();
        assert!(suspicious.len() > 60 && suspicious.iter().all(|claim| numbers.contains(claim.claimant.as_ref().unwrap())));
    }

    #[test]
    fn the_year_has_the_days_it_should() {
        assert_eq!((date(NEW_YEAR).as_str(), date(NEW_YEAR + LAST_DAY).as_str()), ("2026-01-01", "2026-11-15"));
    }
}
