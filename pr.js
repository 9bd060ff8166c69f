module.exports = async ({ page }) => { await page.pdf({ path: process.argv[3] + "_print.pdf", format: "A4", timeout: 200000 }); };
