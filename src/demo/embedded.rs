//! The example catalog, carried in the binary.

/// Every file of `catalog/`, relative to it. A test holds the list complete.
pub(super) const CATALOG: [(&str, &str); 15] = [
    ("mesh.yaml", include_str!("../../catalog/mesh.yaml")),
    ("claims/domain.yaml", include_str!("../../catalog/claims/domain.yaml")),
    ("claims/claims_enriched/v1.yaml", include_str!("../../catalog/claims/claims_enriched/v1.yaml")),
    ("claims/fraud_signals/v1.yaml", include_str!("../../catalog/claims/fraud_signals/v1.yaml")),
    ("customer/domain.yaml", include_str!("../../catalog/customer/domain.yaml")),
    ("customer/customer_master/v1.yaml", include_str!("../../catalog/customer/customer_master/v1.yaml")),
    ("finance/domain.yaml", include_str!("../../catalog/finance/domain.yaml")),
    ("finance/premium_ledger/v1.yaml", include_str!("../../catalog/finance/premium_ledger/v1.yaml")),
    ("marketing/domain.yaml", include_str!("../../catalog/marketing/domain.yaml")),
    ("marketing/marketing_segments/v1.yaml", include_str!("../../catalog/marketing/marketing_segments/v1.yaml")),
    ("policy/domain.yaml", include_str!("../../catalog/policy/domain.yaml")),
    ("policy/policies_active/v1.yaml", include_str!("../../catalog/policy/policies_active/v1.yaml")),
    ("policy/telematics_daily/v1.yaml", include_str!("../../catalog/policy/telematics_daily/v1.yaml")),
    ("pricing/domain.yaml", include_str!("../../catalog/pricing/domain.yaml")),
    ("pricing/risk_factors/v2.yaml", include_str!("../../catalog/pricing/risk_factors/v2.yaml")),
];
