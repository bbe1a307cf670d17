use tokenward_tests::world::{ALICE, LOCAL, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
#[tokio::test(flavor = "multi_thread")]
async fn zz_probe() -> anyhow::Result<()> {
    let world = World::builder().workers(1).start().await?;
    let _ = world.log_in(ALICE).await?;
    for split in [false, true] {
        let mut s = tokio::net::TcpStream::connect(world.envoy.address()).await?;
        s.set_nodelay(true)?;
        let _ = LOCAL;
        let mut resets = 0;
        for n in 0..200 {
            let head = b"POST /local/mcp HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n";
            let r: anyhow::Result<usize> = async {
                if split { s.write_all(head).await?; tokio::time::sleep(std::time::Duration::from_millis(1)).await; s.write_all(b"0123456789").await?; }
                else { s.write_all(&[&head[..], b"0123456789"].concat()).await?; }
                let mut b = vec![0; 4096];
                let k = s.read(&mut b).await?;
                if n < 2 { println!("{split} {n}: {}", String::from_utf8_lossy(&b[..k])); }
                anyhow::ensure!(k > 0, "eof");
                Ok(k)
            }.await;
            if let Err(e) = r { resets += 1; if resets < 3 { println!("{split} {n}: {e}"); }
                s = tokio::net::TcpStream::connect(world.envoy.address()).await?; s.set_nodelay(true)?; }
        }
        println!("split={split}: {resets} broken of 200");
    }
    Ok(())
}
