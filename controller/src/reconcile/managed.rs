//! Whether an object is ours to write to.

use serde_json::Value;

use crate::takeover::marks::{ADOPTED_FROM, GIVEN_BACK, MANAGE_LABEL};

/// Whether an object is ours: not given back, nor on its way back; and where only labelled ones
/// are ours, labelled or taken over. The child of an HTTPScaledObject has its parent's labels.
pub fn is_ours(object: &Value, is_labelled_only: bool) -> bool {
    let metadata = &object["metadata"];
    let is_given_back = metadata["annotations"][GIVEN_BACK].is_string();
    let is_labelled = metadata["labels"][MANAGE_LABEL] == "true";
    let is_adopted = metadata["annotations"][ADOPTED_FROM].is_string();
    !is_given_back && (is_labelled || is_adopted || !is_labelled_only)
}
