//! Strings that many pods share, kept once and counted.

use std::collections::HashMap;
use std::sync::Arc;

/// A string of an [`Interner`]; valid until it was released as often as acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Symbol(u32);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    symbols: HashMap<Arc<str>, Symbol>,
    entries: Vec<(Arc<str>, u32)>,
    free: Vec<Symbol>,
}

impl Interner {
    /// The symbol of `text`, used once more.
    pub(crate) fn acquire(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.symbols.get(text).copied() {
            self.entries[index(symbol)].1 += 1;
            return symbol;
        }
        let text: Arc<str> = text.into();
        let symbol = match self.free.pop() {
            Some(symbol) => {
                self.entries[index(symbol)] = (Arc::clone(&text), 1);
                symbol
            }
            None => {
                let next = u32::try_from(self.entries.len()).expect("fewer than 2^32 strings");
                self.entries.push((Arc::clone(&text), 1));
                Symbol(next)
            }
        };
        self.symbols.insert(text, symbol);
        symbol
    }

    /// One use less; the last one frees it.
    pub(crate) fn release(&mut self, symbol: Symbol) {
        let entry = &mut self.entries[index(symbol)];
        entry.1 -= 1;
        if entry.1 == 0 {
            self.symbols.remove(&entry.0);
            entry.0 = Arc::default();
            self.free.push(symbol);
        }
    }

    /// The symbol of a string that somebody uses.
    pub(crate) fn get(&self, text: &str) -> Option<Symbol> {
        self.symbols.get(text).copied()
    }

    pub(crate) fn text(&self, symbol: Symbol) -> &str {
        &self.entries[index(symbol)].0
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.symbols.len()
    }
}

fn index(symbol: Symbol) -> usize {
    symbol.0 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_kept_once_and_until_its_last_use() {
        let mut interner = Interner::default();
        let (a, again, b) = (
            interner.acquire("a"),
            interner.acquire("a"),
            interner.acquire("b"),
        );
        assert_eq!((a, interner.text(b)), (again, "b"));
        interner.release(a);
        assert_eq!(interner.get("a"), Some(a));
        interner.release(a);
        assert_eq!((interner.get("a"), interner.len()), (None, 1));
        let c = interner.acquire("c");
        assert_eq!((c, interner.text(c)), (a, "c"));
    }
}
