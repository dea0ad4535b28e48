//! The place of the published ledger: the one that the gateway writes to. It belongs to no product, and its credential is of no domain.

use std::fs;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;

use super::clients::make;
use super::http::Wire;
use crate::catalog::Location;
use crate::config::Publish;
use crate::error::{ErrorKind, Fault, Result};

/// Opens it as a store whose root it is. Makes a folder of this machine where there is none; asks a remote storage nothing yet.
pub fn open_ledger(publish: &Publish) -> Result<Arc<dyn ObjectStore>> {
    let unusable = || Fault::new(ErrorKind::Storage, "the place of the published ledger cannot be used");
    match (&publish.place, &publish.credential) {
        (Location::File(folder), _) => {
            fs::create_dir_all(folder).map_err(|error| unusable().with_source(error))?;
            let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| unusable().with_source(error))?;
            Ok(Arc::new(store))
        }
        (Location::Remote(url), Some(settings)) => {
            let (bucket, folder) = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(unusable)?;
            let wire = Wire::of(settings).map_err(Fault::internal)?;
            let client = make(settings, wire, bucket).map_err(|_| unusable().with_detail("The bucket has no address."))?;
            Ok(Arc::new(PrefixStore::new(client, folder.trim_end_matches('/'))))
        }
        (Location::Remote(_), None) => Err(unusable().with_detail("It needs a credential.")),
    }
}
