//! Fetches the configuration vaults of the server's commercial editions (F-100 to F-102).

use super::connect;
use crate::api::{ApiError, ApiVersion, Reason, Session, Vault};
use crate::settings::{Settings, VaultDocument, env_vars};
use crate::ui::Printer;

/// The first version of the API that has vaults.
const FIRST: ApiVersion = ApiVersion {
    major: 2,
    minor: 15,
};
/// Characters of a description that are printed.
const DESCRIPTION: usize = 50;

/// The settings with the vaults of the session's user. The session has logged in.
///
/// A server without vaults changes nothing; neither does one whose vaults cannot be had, which is said.
pub(super) async fn apply(
    session: Session,
    settings: Settings,
    printer: Printer,
) -> Result<(Session, Settings), ApiError> {
    let claims = session.claims().await?;
    if !claims.is_enterprise() || claims.api_version < FIRST {
        return Ok((session, settings));
    }
    if is_disabled(&settings, printer) {
        printer.line("Vault support is disabled");
        return Ok((session, settings));
    }
    let vaults = match session.users().vaults().await {
        Ok(vaults) => vaults,
        Err(error) => {
            if error.reason() != Some(Reason::UnknownCall) {
                let text = match error.refusal() {
                    Some(refusal) => refusal.message.clone(),
                    None => error.reference_text(),
                };
                printer.line(format!("Failed getting vaults: {text}"));
            }
            return Ok((session, settings));
        }
    };
    let documents: Vec<VaultDocument> = vaults
        .into_iter()
        .map(|vault| {
            let name = named(&vault);
            let shown: String = name.chars().take(DESCRIPTION).collect();
            printer.line(format!(
                "Loaded {} vault for user {}: {shown}",
                vault.scope, claims.user
            ));
            VaultDocument {
                name,
                text: vault.data,
            }
        })
        .collect();
    if documents.is_empty() {
        return Ok((session, settings));
    }
    match settings.with_vaults(&documents) {
        Ok((settings, notices)) => {
            for notice in &notices {
                printer.line(notice);
            }
            let session = match settings.api() {
                Ok(api) => session.with_default_method(connect::method(&api)),
                Err(_) => session,
            };
            Ok((session, settings))
        }
        Err(error) => {
            printer.line(format!(
                "Error: failed applying extra configuration: {error}"
            ));
            Ok((session, settings))
        }
    }
}

fn named(vault: &Vault) -> String {
    if vault.description.is_empty() {
        vault.id.clone()
    } else {
        vault.description.clone()
    }
}

/// A word that is no boolean is said and does not count (F-072).
fn is_disabled(settings: &Settings, printer: Printer) -> bool {
    match settings
        .environment()
        .boolean(&env_vars::DISABLE_VAULT_SUPPORT)
    {
        Ok(disabled) => disabled.unwrap_or(false),
        Err(error) => {
            printer.line(error.notice());
            false
        }
    }
}
