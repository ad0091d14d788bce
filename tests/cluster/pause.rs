//! The process that holds a pod's namespaces: it waits for ever. Linked statically, in an image of its own.

fn main() {
    loop {
        std::thread::park();
    }
}
