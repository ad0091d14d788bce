//! Builds in the background, one after the other, each waited for by itself.

use std::sync::mpsc;

use anyhow::bail;

/// Builds that have not begun, in their order.
#[derive(Default)]
pub(crate) struct Queue {
    builds: Vec<Box<dyn FnOnce() + Send>>,
}

/// One build of a queue.
#[derive(Debug)]
pub(crate) struct Building<T> {
    result: mpsc::Receiver<anyhow::Result<T>>,
}

impl Queue {
    /// Puts a build behind the others.
    pub(crate) fn add<T: Send + 'static>(
        &mut self,
        build: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> Building<T> {
        let (sender, result) = mpsc::sync_channel(1);
        self.builds.push(Box::new(move || {
            // What nobody waits for any more is built all the same.
            drop(sender.send(build()));
        }));
        Building { result }
    }

    /// Begins, on a thread of its own.
    pub(crate) fn begin(self) {
        std::thread::spawn(move || self.builds.into_iter().for_each(|build| build()));
    }
}

impl<T> Building<T> {
    /// Waits until it is done.
    pub(crate) fn wait(self) -> anyhow::Result<T> {
        match self.result.recv() {
            Ok(result) => result,
            Err(_) => bail!("a build panicked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn builds_run_one_after_the_other_and_each_has_its_result() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut queue = Queue::default();
        let builds: Vec<_> = (0..3)
            .map(|number| {
                let order = Arc::clone(&order);
                queue.add(move || {
                    order.lock().expect("nobody panics").push(number);
                    if number == 1 {
                        bail!("no compiler");
                    }
                    Ok(number)
                })
            })
            .collect();
        queue.begin();
        let results: Vec<_> = builds.into_iter().map(Building::wait).collect();
        assert_eq!(*order.lock().expect("nobody panics"), [0, 1, 2]);
        assert_eq!(results[0].as_ref().ok(), Some(&0));
        assert!(results[1].is_err());
        assert_eq!(results[2].as_ref().ok(), Some(&2));
    }
}
